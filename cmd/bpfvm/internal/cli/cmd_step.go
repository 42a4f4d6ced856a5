package cli

import (
	"bufio"
	"bytes"
	delf "debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfvm/cmd/bpfvm/internal/tui"
	"bpfvm/debug"
	"bpfvm/scenario"
	"bpfvm/trace"

	"github.com/spf13/cobra"
)

func cmdStep() *command {
	return &command{
		name: "step", args: "FILE[:PROG]", short: "step through a run, forwards and backwards",
		long: "Records everything that happens to the programs, as \"run\" would let it happen, and shows it " +
			"step by step: C lines, instructions, registers, stack, packet and maps. Every step can be gone to, " +
			"forwards and backwards. FILE may also be a recording that --record wrote.\n\n" +
			"On a terminal this is a screen; ? lists its keys. Otherwise, with --plain or -x, it reads " +
			"commands, one a line, with the words of gdb and delve: si ni s n finish continue, reverse-stepi rc " +
			"and so on, rev CMD, goto STEP, break, tbreak, watch, delete, info reg, x/16xb ADDR, print, why r2, " +
			"list, disassemble, quit; \"help\" lists them all. -j answers each command with one JSON document.\n\n" +
			"A step is one instruction; a helper's call is one step. Steps are numbered from 0 over all " +
			"events, so that a number means the same in every session with the same inputs.",
		examples: []example{
			{"bpfvm step testdata/xdp/firewall.bpf.o --pcap testdata/xdp/packets.pcap", "an XDP program over a capture, on the screen"},
			{"bpfvm step prog.o:main --events e.events -x commands.txt", "replay commands from a file"},
			{"bpfvm step prog.o --pkt 'eth/arp' --plain", "commands at a prompt, plain text"},
		},
		exits:   []int{exitInput, exitUnsupported},
		seeAlso: []string{"run", "events", "packets", "disasm"},
		wants:   argCount{1, 1}, json: true,
		setup: setupStep,
	}
}

// stepFlags are the flags of step; those of inputs are run's.
type stepFlags struct {
	run      runFlags
	commands string
	record   string
	total    uint64
}

func setupStep(a *app, c *cobra.Command) func([]string) error {
	var f stepFlags
	fs := c.Flags()
	fs.StringArrayVar(&f.run.pkts, "pkt", nil, "a packet as `HEX`, file or words; repeatable")
	fs.StringVar(&f.run.pcap, "pcap", "", "packets of the capture `FILE` (pcap, pcapng)")
	fs.StringVar(&f.run.events, "events", "", "events of the script `FILE`")
	fs.StringVar(&f.run.ctx, "ctx", "", "run once on the context in `FILE`, as bytes or hex")
	fs.StringArrayVar(&f.run.maps, "map", nil, "fill a map: `NAME=FILE.json`; repeatable")
	fs.StringArrayVar(&f.run.sets, "set", nil, "set a global variable: `VAR=VALUE`; repeatable")
	fs.IntVar(&f.run.repeat, "repeat", 1, "let everything happen `N` times")
	fs.Uint64Var(&f.run.maxSteps, "max-steps", 10_000_000, "instructions that one run may execute: `N`")
	fs.Uint64Var(&f.total, "max-total", debug.DefaultMaxSteps, "steps that are recorded in all: `N`")
	fs.IntVar(&f.run.cpus, "cpus", 0, "number `N` of virtual CPUs (as many as the script names)")
	fs.Uint64Var(&f.run.seed, "seed", 0, "start of the random numbers: `N`")
	fs.StringVarP(&f.commands, "commands", "x", "", "replay the commands in `FILE`, - for standard input")
	fs.StringVar(&f.record, "record", "", "write the inputs to `FILE`, to step through again later")
	a.btfFlag(c)
	a.completeProgram(c)
	a.completeFromObject(c, "map", "=", (*object).mapNames)
	a.completeFromObject(c, "set", "=", (*object).variableNames)
	return func(args []string) error { return a.step(args[0], f) }
}

func (a *app) step(arg string, f stepFlags) error {
	if err := f.run.check(); err != nil {
		return err
	}
	t, err := a.openTrace(splitTarget(arg), f)
	if err != nil {
		return err
	}
	if f.record != "" {
		b, err := t.Format()
		if err != nil {
			return err
		}
		if err := a.writeFile(f.record, b); err != nil {
			return err
		}
		a.progress("%s: %s", display(f.record), plural(len(b), "byte"))
	}
	s, err := debug.Open(a.ctx, t, debug.Options{MaxSteps: f.total})
	if err != nil {
		if errors.Is(err, debug.ErrTooLong) {
			return inputErr("%w; --max-total allows more", err)
		}
		return err
	}
	defer s.Close()
	for _, w := range s.Warnings() {
		a.warn("%s", w)
	}
	screen := a.io.OutTTY && f.commands == "" && !a.flags.plain && !a.jsonWanted()
	if screen {
		return tui.Run(a.ctx, s, tui.Options{
			In: a.io.In, Out: a.io.Out, ASCII: a.flags.ascii, Color: a.style.on, Title: display(t.Inputs().Name),
		})
	}
	return a.stepWords(s, f.commands)
}

// openTrace reads a recording, or makes one of an object and the flags.
func (a *app) openTrace(target target, f stepFlags) (*trace.Trace, error) {
	b, err := a.readInput(target.path)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(b, []byte("bpfvm trace ")) {
		if target.prog != "" || f.run.events != "" || f.run.pcap != "" || f.run.ctx != "" || len(f.run.pkts)+len(f.run.maps)+len(f.run.sets) > 0 {
			return nil, usageErr("%s is a recording: it brings its own inputs", display(target.path))
		}
		return trace.Parse(display(target.path), b)
	}
	if !isELF(b) && looksLikeText(target.path, b) {
		if b, err = assembleObject(target.path, b); err != nil {
			return nil, err
		}
	}
	in, err := a.traceInputs(target, f.run, b)
	if err != nil {
		return nil, err
	}
	return trace.New(*in)
}

// traceInputs gathers what the flags name.
func (a *app) traceInputs(target target, f runFlags, raw []byte) (*trace.Inputs, error) {
	o, err := a.openBytes(target.path, raw)
	if err != nil {
		return nil, err
	}
	in := &trace.Inputs{
		Name: filepath.Base(target.path), Object: raw, Seed: f.seed, CPUs: f.cpus, Budget: f.maxSteps, Repeat: f.repeat,
	}
	if target.prog != "" {
		if _, err := o.program(target.prog); err != nil {
			return nil, err
		}
		in.Programs = []string{target.prog}
	}
	if err := a.traceEvents(in, f); err != nil {
		return nil, err
	}
	for _, p := range f.pkts {
		frames, err := a.readPacket(p)
		if err != nil {
			return nil, err
		}
		in.Frames = append(in.Frames, frames...)
	}
	if f.pcap != "" {
		b, err := a.readInput(f.pcap)
		if err != nil {
			return nil, err
		}
		frames, err := scenario.ReadPcap(b)
		if err != nil {
			return nil, inputCause(display(f.pcap), err)
		}
		in.Frames = append(in.Frames, frames...)
	}
	if f.ctx != "" {
		if in.Ctx, err = a.readContext(f.ctx); err != nil {
			return nil, err
		}
	}
	if in.Script == nil && in.Frames == nil && in.Ctx == nil {
		// The same rules, and the same words, as run's.
		r := &running{a: a, f: f, o: o, prog: target.prog}
		if o.bareProgram(target.prog) == nil {
			if err := r.defaultInput(&runInputs{}); err != nil {
				return nil, err
			}
		}
	}
	if err := a.traceMaps(in, o, f); err != nil {
		return nil, err
	}
	in.Target, err = a.rawTarget()
	return in, err
}

// traceEvents reads the script and the files that its packets come from.
func (a *app) traceEvents(in *trace.Inputs, f runFlags) error {
	if f.events == "" {
		return nil
	}
	b, err := a.readInput(f.events)
	if err != nil {
		return err
	}
	in.ScriptName, in.Script = display(f.events), append([]byte{}, b...)
	script, err := scenario.Parse(in.ScriptName, b)
	if err != nil {
		return err
	}
	for _, st := range script.Stmts {
		ev, ok := st.(*scenario.Event)
		if !ok {
			continue
		}
		for _, arg := range ev.Args {
			if (arg.Name != "file" && arg.Name != "pcap") || arg.Value.Text == "" || in.Files[arg.Value.Text] != nil {
				continue
			}
			if f.events == "-" {
				return inputErr("%s: a script on standard input cannot open files", arg.Value.Text)
			}
			data, err := a.readInput(filepath.Join(filepath.Dir(f.events), filepath.FromSlash(arg.Value.Text)))
			if err != nil {
				return err
			}
			if in.Files == nil {
				in.Files = map[string][]byte{}
			}
			in.Files[arg.Value.Text] = data
		}
	}
	return nil
}

// traceMaps reads --map and --set.
func (a *app) traceMaps(in *trace.Inputs, o *object, f runFlags) error {
	for _, arg := range f.maps {
		name, path, ok := strings.Cut(arg, "=")
		if !ok || path == "" {
			return usageErr("--map %q: want NAME=FILE.json", arg)
		}
		if o.coll.Map(name) == nil {
			return inputErr("--map %s: no such map%s", name, didYouMean(name, o.mapNames()))
		}
		b, err := a.readInput(path)
		if err != nil {
			return err
		}
		if in.Maps == nil {
			in.Maps = map[string][]byte{}
		}
		in.Maps[name] = b
	}
	vars := variables(o)
	for _, arg := range f.sets {
		name, text, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return usageErr("--set %q: want VAR=VALUE", arg)
		}
		i := slices.IndexFunc(vars, func(v variable) bool { return v.name == name })
		if i < 0 {
			return inputErr("--set %s: no such global variable%s", name, didYouMean(name, o.variableNames()))
		}
		b, err := vars[i].parse(text)
		if err != nil {
			return inputErr("--set %s: %w", arg, err)
		}
		in.Vars = append(in.Vars, trace.Var{Map: vars[i].m.Name, Off: vars[i].off, Data: b})
	}
	return nil
}

// rawTarget is the BTF that --btf names, nil for the embedded one.
func (a *app) rawTarget() ([]byte, error) {
	path := a.flags.btf
	switch path {
	case "":
		return nil, nil
	case "host":
		path = hostBTF
	}
	raw, err := a.readInput(path)
	if err != nil || !isELF(raw) {
		return raw, err
	}
	f, err := delf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil, inputErr("%s: %w", display(path), err)
	}
	sec := f.Section(".BTF")
	if sec == nil {
		return nil, inputErr("%s: no section .BTF", display(path))
	}
	return sec.Data()
}

// stepDoc answers one command.
type stepDoc struct {
	docHead
	Command string     `json:"command"`
	Output  []string   `json:"output"`
	Error   string     `json:"error,omitempty"`
	Stop    *stepStop  `json:"stop,omitempty"`
	State   *stepState `json:"state,omitempty"`
}

// stepStop is why a move ended.
type stepStop struct {
	Reason     string   `json:"reason"`
	Breakpoint int      `json:"breakpoint,omitempty"`
	What       string   `json:"what,omitempty"`
	Logs       []string `json:"logs,omitempty"`
}

// stepState is where the session stands.
type stepState struct {
	Step    uint64       `json:"step"`
	Steps   uint64       `json:"steps"`
	Event   int          `json:"event"`
	Name    string       `json:"event_name"`
	Program string       `json:"program"`
	Func    string       `json:"func"`
	Frame   int          `json:"frame"`
	Slot    int          `json:"slot"`
	Insn    string       `json:"insn"`
	Note    string       `json:"note,omitempty"`
	Fault   string       `json:"fault,omitempty"`
	Source  *stepSource  `json:"source,omitempty"`
	Regs    []stepReg    `json:"registers"`
	Packet  string       `json:"packet,omitempty"` // in hexadecimal
	Maps    []stepChange `json:"map_changes"`
}

type stepSource struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

type stepReg struct {
	Name  string `json:"name"`
	Init  bool   `json:"init"`
	Value string `json:"value"` // in hexadecimal
	Text  string `json:"text"`
}

type stepChange = scenario.MapChange

func stepStateOf(s *debug.Session, st *debug.State) *stepState {
	out := &stepState{Step: st.Step, Steps: s.Steps(), Regs: []stepReg{}, Maps: append([]stepChange{}, st.Maps...), Slot: -1}
	if st.Run == nil {
		return out
	}
	out.Event, out.Name, out.Program, out.Func = st.Run.Number, st.Run.Event, st.Prog, st.Func
	out.Frame, out.Slot, out.Insn, out.Note = st.Frame, int(st.PC), st.Insn, st.Note
	if st.Fault != nil {
		out.Fault = st.Fault.Msg
	}
	if st.Line != nil {
		out.Source = &stepSource{st.Line.File, st.Line.Line, st.Line.Text}
	}
	for i, r := range st.Regs {
		out.Regs = append(out.Regs, stepReg{fmt.Sprintf("r%d", i), r.Init, fmt.Sprintf("%#x", r.Value), r.Text})
	}
	if st.Packet != nil {
		out.Packet = fmt.Sprintf("%x", st.Packet.Bytes)
	}
	return out
}

// stepWords reads commands from a file, or from standard input where path is empty
// or "-". An error in a file ends it; at a prompt one may try again.
func (a *app) stepWords(s *debug.Session, path string) error {
	var r io.Reader = a.io.In
	fromFile := path != "" && path != "-"
	if fromFile {
		f, err := os.Open(path)
		if err != nil {
			return fileErr(path, err)
		}
		defer f.Close()
		r = f
	}
	w := &tui.Words{S: s}
	prompt := path == "" && a.io.OutTTY && !a.jsonWanted()
	if !a.jsonWanted() {
		reply, err := w.Do(a.ctx, "info")
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s: %s, %s, %s\n", display(s.Trace().Inputs().Name), plural(int(s.Steps()), "step"),
			plural(len(s.Runs()), "run"), plural(s.Runs()[len(s.Runs())-1].Number, "event"))
		fmt.Fprintln(a.out, strings.Join(reply.Lines, "\n"))
	}
	lines := bufio.NewScanner(r)
	for n := 1; ; n++ {
		if prompt {
			fmt.Fprint(a.out, "(bpfvm) ")
		}
		if !lines.Scan() {
			break
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if !prompt && !a.jsonWanted() {
			fmt.Fprintf(a.out, "(bpfvm) %s\n", line)
		}
		reply, err := w.Do(a.ctx, line)
		if a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		if jsonErr := a.stepAnswer(w, line, reply, err); jsonErr != nil {
			return jsonErr
		}
		if err != nil && fromFile {
			return inputErr("%s:%d: %w", display(path), n, err)
		}
		if reply.Quit {
			return nil
		}
	}
	return lines.Err()
}

// stepAnswer prints what a command gave.
func (a *app) stepAnswer(w *tui.Words, line string, reply tui.Reply, failed error) error {
	if !a.jsonWanted() {
		for _, l := range reply.Lines {
			fmt.Fprintln(a.out, l)
		}
		if failed != nil {
			fmt.Fprintln(a.out, "error: "+failed.Error())
		}
		return nil
	}
	doc := stepDoc{docHead: head("step"), Command: line, Output: append([]string{}, reply.Lines...)}
	if failed != nil {
		doc.Error = failed.Error()
	}
	if reply.Stop != nil {
		doc.Stop = &stepStop{Reason: string(reply.Stop.Reason), What: reply.Stop.What, Logs: reply.Stop.Logs}
		if b := reply.Stop.Breakpoint; b != nil {
			doc.Stop.Breakpoint = b.ID
		}
		st, err := w.S.State(a.ctx)
		if err != nil {
			return err
		}
		doc.State = stepStateOf(w.S, st)
	}
	a.writeJSON(doc)
	return nil
}
