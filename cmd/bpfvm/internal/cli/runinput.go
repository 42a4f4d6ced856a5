package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// runInputs is what happens in a run.
type runInputs struct {
	script *scenario.Script
	files  fs.FS
	frames []scenario.Frame
	ctx    []byte // nil: none
	made   bool   // ctx is not given: the event is made up
	expect *scenario.Script
	lines  []lineExpect
}

// inputs reads everything that the flags name.
func (r *running) inputs() (*runInputs, error) {
	in := &runInputs{}
	var err error
	if path := r.f.events; path != "" {
		if in.script, err = r.a.readScript(path); err != nil {
			return nil, err
		}
		if path != "-" {
			in.files = os.DirFS(filepath.Dir(path))
		}
	}
	for _, p := range r.f.pkts {
		frames, err := r.a.readPacket(p)
		if err != nil {
			return nil, err
		}
		in.frames = append(in.frames, frames...)
	}
	if path := r.f.pcap; path != "" {
		b, err := r.a.readInput(path)
		if err != nil {
			return nil, err
		}
		frames, err := scenario.ReadPcap(b)
		if err != nil {
			return nil, inputCause(display(path), err)
		}
		in.frames = append(in.frames, frames...)
	}
	if path := r.f.ctx; path != "" {
		if in.ctx, err = r.a.readContext(path); err != nil {
			return nil, err
		}
	}
	if path := r.f.expect; path != "" {
		if err := r.a.readExpect(path, in); err != nil {
			return nil, err
		}
	}
	if in.script == nil && in.frames == nil && in.ctx == nil {
		return in, r.defaultInput(in)
	}
	return in, nil
}

// inputCause says which file is bad, and keeps an unsupported feature one.
func inputCause(path string, err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return inputErr("%s: %w", path, err)
}

func (a *app) readScript(path string) (*scenario.Script, error) {
	b, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	return scenario.Parse(display(path), b)
}

// scriptStart is the clock's first reading: one second unless the script says
// otherwise.
func scriptStart(s *scenario.Script) time.Duration {
	if s != nil {
		for _, st := range s.Stmts {
			if c, ok := st.(*scenario.Clock); ok && c.Start != nil {
				return *c.Start
			}
		}
	}
	return time.Second
}

// readPacket reads --pkt: a file of any form, hex digits, or words.
func (a *app) readPacket(text string) ([]scenario.Frame, error) {
	frame := func(b []byte) []scenario.Frame {
		return []scenario.Frame{{Data: b, Size: len(b), Link: scenario.LinkEthernet}}
	}
	if _, err := os.Stat(text); err == nil || text == "-" {
		b, err := a.readInput(text)
		if err != nil {
			return nil, err
		}
		if frames, err := scenario.ReadPcap(b); err == nil {
			return frames, nil
		}
		if !bytes.Contains(b[:min(len(b), 4096)], []byte{0}) {
			if p, err := scenario.PacketHex(string(b)); err == nil {
				return frame(p), nil
			}
		}
		if len(b) == 0 || len(b) > scenario.MaxPacket {
			return nil, inputErr("%s: %d bytes, a packet has 1 to %d", display(text), len(b), scenario.MaxPacket)
		}
		return frame(b), nil
	}
	if strings.Trim(text, "0123456789abcdefABCDEF: \t\nx") == "" {
		b, err := scenario.PacketHex(text)
		if err != nil {
			return nil, inputErr("--pkt: %w", err)
		}
		return frame(b), nil
	}
	b, err := scenario.PacketWords(text)
	if err != nil {
		return nil, inputErr("--pkt %q: %w", text, err)
	}
	return frame(b), nil
}

// readContext reads bytes, or their digits.
func (a *app) readContext(path string) ([]byte, error) {
	b, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	if text := strings.Join(strings.Fields(string(b)), ""); text != "" {
		if raw, err := hex.DecodeString(text); err == nil {
			return raw, nil
		}
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// defaultInput serves a run without any input: programs of packets ask for some, the
// others run once on an event made up for their type.
func (r *running) defaultInput(in *runInputs) error {
	progs, err := r.o.programs(r.prog)
	if err != nil {
		return err
	}
	for _, p := range progs {
		switch p.Type {
		case spec.ProgXDP, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgSocketFilter, spec.ProgCgroupSKB,
			spec.ProgLWTIn, spec.ProgLWTOut, spec.ProgLWTXmit, spec.ProgFlowDissector, spec.ProgSKSKB, spec.ProgNetfilter:
			return usageErr("%s runs on packets: give it some with --pkt or --pcap", p.Name)
		}
	}
	if len(progs) != 1 {
		return usageErr("%s: say what happens: --events, --pkt, --pcap, or --ctx for one program", display(r.o.path))
	}
	in.ctx, in.made = []byte{}, true
	r.a.progress("no input: %s runs once, on zeros and pointers to zeros", progs[0].Name)
	return nil
}

// execute lets everything happen and fills the document.
func (r *running) execute(in *runInputs) error {
	if in.ctx != nil {
		return r.runContext(in)
	}
	opts := scenario.Options{
		Runtime: r.rt, Collection: r.coll, Script: in.script, Frames: in.frames, Files: in.files, Expect: in.expect,
		Repeat: r.f.repeat, MapChanges: r.f.changes, RecordTypes: r.f.recordTypes(),
	}
	opts.Programs = r.accepted
	res, err := scenario.Run(r.a.ctx, opts)
	if res != nil {
		r.take(res)
		r.doc.Expect = append(r.doc.Expect, compareLines(in.lines, r.doc.Runs)...)
	}
	return err
}

// take copies the result into the document; lists there are never nil.
func (r *running) take(res *scenario.Result) {
	d := &r.doc
	d.Runs = append(d.Runs, res.Runs...)
	d.Maps = append(d.Maps, res.Maps...)
	d.Changes = append(d.Changes, res.Changes...)
	d.Expect = append(d.Expect, res.Expect...)
	d.Warning = append(d.Warning, res.Warnings...)
	r.before = res.Before
	d.Summary = runSummary{Events: res.Events, Insns: res.Insns, Trapped: res.Trapped}
}

// runContext runs the only program on a context.
func (r *running) runContext(in *runInputs) error {
	if len(r.accepted) != 1 {
		return usageErr("--ctx runs one program; say which: %s", strings.Join(targets(display(r.o.path), r.o.programNames()), ", "))
	}
	p := r.coll.Program(r.accepted[0])
	input, err := contextInput(p.Spec(), in.ctx)
	if in.made {
		input, err = scenario.Synthesize(r.rt, p)
	}
	if err != nil {
		return err
	}
	recs, err := scenario.NewRecordTypes(r.coll.Spec(), r.f.recordTypes())
	if err != nil {
		return inputErr("--type: %w", err)
	}
	defer r.rt.StopWith(r.a.ctx)()
	r.start = time.Duration(r.rt.Clock.Now)
	res := &scenario.Result{Before: r.maps.Snap()}
	for i := range r.f.repeat {
		if r.a.ctx.Err() != nil {
			break
		}
		raw, err := p.Run(input)
		if err != nil {
			return err
		}
		run := &scenario.ProgRun{Program: p.Name(), Event: p.Target(), Index: i + 1, Time: time.Duration(r.rt.Clock.Now),
			Comm: r.rt.Task().Comm, PID: r.rt.Task().PID, R0: raw.R0, Insns: raw.Insns, Raw: raw}
		if raw.Trap != nil {
			run.Trap = &scenario.Trap{Kind: raw.Trap.Kind.String(), Slot: int(raw.Trap.PC), Msg: raw.Trap.Error(), Err: raw.Trap}
			res.Trapped++
		} else {
			run.Ret = spec.RetName(p.Type(), raw.R0)
		}
		for _, l := range raw.Trace {
			run.Trace = append(run.Trace, l.String())
		}
		for _, rec := range raw.Records {
			run.Records = append(run.Records, recs.Record(rec))
		}
		res.Runs = append(res.Runs, run)
		res.Events++
		res.Insns += raw.Insns
	}
	res.Maps = r.maps.Snap()
	res.Changes = scenario.DiffMaps(res.Before, res.Maps)
	r.take(res)
	r.doc.Expect = append(r.doc.Expect, compareLines(in.lines, r.doc.Runs)...)
	return nil
}

// contextInput lays bytes out as the program's context. An empty one is zeros.
func contextInput(p *spec.ProgramSpec, b []byte) (runtime.Input, error) {
	words := func(n int) []uint64 {
		w := make([]uint64, n)
		for i := range w {
			var raw [8]byte
			copy(raw[:], b[min(8*i, len(b)):])
			w[i] = binary.LittleEndian.Uint64(raw[:])
		}
		return w
	}
	size := func(want int) error {
		if len(b) > want {
			return inputErr("--ctx: %d bytes, the context of %s (%s) has %d", len(b), p.Name, p.Type, want)
		}
		return nil
	}
	regs := func() (out runtime.PtRegs) {
		for i, name := range runtime.RegNames() {
			*out.Reg(name) = words(len(runtime.RegNames()))[i]
		}
		return out
	}
	nregs := len(runtime.RegNames())
	switch p.Type {
	case spec.ProgKprobe:
		return &runtime.Kprobe{Regs: regs()}, size(8 * nregs)
	case spec.ProgPerfEvent:
		w := words(nregs + 2)
		return &runtime.PerfEvent{Regs: regs(), Period: w[nregs], Addr: w[nregs+1]}, size(8*nregs + 16)
	case spec.ProgRawTracepoint, spec.ProgRawTracepointWritable:
		return &runtime.RawTracepoint{Args: words((len(b) + 7) / 8)}, nil
	case spec.ProgTracepoint:
		rec := b
		if layout := spec.Tracepoint(p.AttachTo); layout != nil {
			if err := size(int(layout.Size)); err != nil {
				return nil, err
			}
			rec = append(bytes.Clone(b), make([]byte, int(layout.Size)-len(b))...)
		}
		if len(rec) < 8 {
			rec = append(bytes.Clone(rec), make([]byte, 64-len(rec))...)
		}
		return &runtime.Tracepoint{Record: rec}, nil
	case spec.ProgSyscall:
		return &runtime.Syscall{Ctx: b}, nil
	}
	return nil, unsupportedErr("--ctx for a program of type %s", p.Type)
}

// lineExpect is a line of an earlier run's output.
type lineExpect struct {
	pos    scenario.Pos
	text   string
	index  int
	r0     string
	ret    string // empty: not said
	packet string // "packet unchanged", or empty
}

var (
	runLine = regexp.MustCompile(`^#(\d+)\s(.*)$`)
	r0Word  = regexp.MustCompile(`\br0=(\S+)`)
	retWord = regexp.MustCompile(`\b(?:XDP|TC_ACT|BPF)_[A-Z_]+\b`)
)

// readExpect reads expectations: statements of the event language, and lines of an
// earlier run's output.
func (a *app) readExpect(path string, in *runInputs) error {
	b, err := a.readInput(path)
	if err != nil {
		return err
	}
	lines := strings.Split(string(b), "\n")
	found := false
	for i, l := range lines {
		l = strings.TrimRight(l, " \r")
		m := runLine.FindStringSubmatch(l)
		switch {
		case m != nil:
			e := lineExpect{pos: scenario.Pos{Line: i + 1, Col: 1}, text: l}
			if e.index, err = strconv.Atoi(m[1]); err != nil {
				return inputErr("%s:%d: %w", display(path), i+1, err)
			}
			if w := r0Word.FindStringSubmatch(m[2]); w != nil {
				e.r0 = w[1]
			}
			e.ret = retWord.FindString(m[2])
			if strings.Contains(m[2], "packet unchanged") {
				e.packet = "packet unchanged"
			}
			if e.r0 == "" && e.ret == "" {
				continue // a trace line of the output
			}
			in.lines = append(in.lines, e)
			found = true
			lines[i] = ""
		case strings.HasPrefix(strings.TrimSpace(l), "expect "):
			found = true
		default:
			lines[i] = "" // other parts of an output
		}
	}
	if !found {
		return inputErr("%s: no expectation: want lines \"expect ...\" or \"#1 ... r0=1\"", display(path))
	}
	for i, l := range lines {
		if strings.HasPrefix(l, "#") {
			lines[i] = ""
		}
	}
	in.expect, err = scenario.Parse(display(path), []byte(strings.Join(lines, "\n")))
	return err
}

// compareLines compares the runs with the lines of an earlier output. Where several
// programs run on an event, their lines stand in the same order.
func compareLines(lines []lineExpect, runs []*scenario.ProgRun) []scenario.ExpectResult {
	byIndex := map[int][]*scenario.ProgRun{}
	for _, r := range runs {
		byIndex[r.Index] = append(byIndex[r.Index], r)
	}
	var out []scenario.ExpectResult
	for _, l := range lines {
		res := scenario.ExpectResult{Pos: l.pos, Text: l.text, Want: l.want()}
		list := byIndex[l.index]
		if len(list) == 0 {
			res.Got = fmt.Sprintf("no run of event %d", l.index)
			out = append(out, res)
			continue
		}
		run := list[0]
		byIndex[l.index] = list[1:]
		res.Got = runWords(run, l.packet != "")
		res.OK = l.fits(run)
		out = append(out, res)
	}
	return out
}

func (l *lineExpect) want() string {
	var w []string
	for _, s := range []string{prefixed("r0=", l.r0), l.ret, l.packet} {
		if s != "" {
			w = append(w, s)
		}
	}
	return strings.Join(w, " ")
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func (l *lineExpect) fits(r *scenario.ProgRun) bool {
	return r.Trap == nil &&
		(l.r0 == "" || l.r0 == r0Text(r.R0)) && (l.ret == "" || l.ret == r.Ret) &&
		(l.packet == "" || r.Packet != nil && !r.Packet.Changed())
}

// runWords is a run's result in the words of its line.
func runWords(r *scenario.ProgRun, packet bool) string {
	if r.Trap != nil {
		return "trap: " + r.Trap.Msg
	}
	s := "r0=" + r0Text(r.R0)
	if r.Ret != "" {
		s += " " + r.Ret
	}
	if packet && r.Packet != nil {
		s += " " + r.Packet.String()
	}
	return s
}

// r0Text prints a return value: small ones in decimal with their sign, others in
// hexadecimal.
func r0Text(v uint64) string {
	if s := int64(v); s > -4096 && s < 1<<32 {
		return strconv.FormatInt(s, 10)
	}
	return fmt.Sprintf("%#x", v)
}

// writePcap writes --pcap-out: the packets as the first program that saw each left
// them.
func (r *running) writePcap() error {
	if r.f.pcapOut == "" {
		return nil
	}
	var frames []scenario.Frame
	seen := map[int]bool{}
	for _, run := range r.doc.Runs {
		if run.Packet == nil || seen[run.Index] || run.Trap != nil {
			continue
		}
		seen[run.Index] = true
		b := run.Packet.After
		frames = append(frames, scenario.Frame{Time: time.Unix(0, int64(run.Time)), Data: b, Size: len(b), Link: run.Packet.Link})
	}
	var buf bytes.Buffer
	write := scenario.WritePcap
	if strings.HasSuffix(r.f.pcapOut, ".pcapng") {
		write = scenario.WritePcapNG
	}
	if err := write(&buf, frames); err != nil {
		return fmt.Errorf("--pcap-out: %w", err)
	}
	if err := r.a.writeFile(r.f.pcapOut, buf.Bytes()); err != nil {
		return err
	}
	r.a.progress("%s: %s", display(r.f.pcapOut), plural(len(frames), "packet"))
	return nil
}
