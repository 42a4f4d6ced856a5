package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"bpfvm/runtime"
)

// block is one event statement laid out in time: its packets (one empty frame where
// the hook has none) one after the other, repeated. Blocks are not unrolled; a
// short script may stand for millions of events.
type block struct {
	*source
	at     time.Duration // of the first firing
	every  time.Duration // between the last packet of a round and the first of the next
	repeat uint64
	frames []Frame
}

// firing is one happening of an event statement.
type firing struct {
	*source
	at   time.Duration
	pkt  []byte // packet events
	link int    // link type of the packet
}

// source is what all firings of an event statement share.
type source struct {
	ev     *Event
	world  who
	stacks runtime.Stacks
	regs   []uint64 // values of the event's arguments, by their place in ev.Args
	ctx    *contextArgs
	call   *tracedArgs
	names  []string // kprobe: the registers that the arguments are in
}

// checkpoint is an expectation with the number of blocks that stand above it: it is
// checked when all of them are over, and speaks of the last firing of the last one.
type checkpoint struct {
	expect *Expect
	above  int
}

// plan is a script made ready to run.
type plan struct {
	start, step time.Duration
	seed        uint64
	blocks      []block      // in the order of the script
	checks      []checkpoint // in the order of the script
	events      uint64       // how many firings the blocks make
	mocks       []*Mock
	tasks       []who
	sets        []*MapSet
	world       *runtime.World // nil: nothing is said of it
	stacked     bool           // a statement sets call stacks
	memory      foreignPlan
	cpus        int
	now         time.Duration // end of the last block
}

// Defaults of scripts that do not say otherwise.
const (
	defaultStart = time.Second
	defaultStep  = time.Microsecond
)

// maxPlanBytes bounds the packets that a run reads from files.
const maxPlanBytes = MaxCapture

// planner builds a plan statement by statement.
type planner struct {
	plan
	script *Script
	files  fs.FS
	errs   Errors
	begun  bool // an event has been seen
	cpu    int
	stacks runtime.Stacks // of the events that follow
	people map[uint64]who
	rt     *runtime.Runtime
	bytes  int
	parts  map[string][]Frame // captures that were read
	enums  map[string]uint64  // the kernel's constants, once one was asked for
	laid   int                // bytes of structures
}

// makePlan checks what the parser could not and lays the script out in time. The
// files are those that packet events name. The runtime knows types and addresses; it
// is nil when only the form of the plan matters.
func makePlan(s *Script, files fs.FS, rt *runtime.Runtime) (*plan, error) {
	p := &planner{
		plan:   plan{start: defaultStart, step: defaultStep, cpus: 1, memory: newForeignPlan()},
		script: s, files: files, people: map[uint64]who{}, rt: rt, parts: map[string][]Frame{},
	}
	for _, st := range s.Stmts {
		if err := p.statement(st); err != nil {
			e := asError(err)
			if e.Line == 0 {
				e.Pos = st.Position()
			}
			e.File = s.Name
			p.errs = append(p.errs, e)
		}
		if p.events > MaxEvents {
			p.errs = append(p.errs, &Error{File: s.Name, Pos: st.Position(), Msg: fmt.Sprintf("more than %d events", MaxEvents)})
			break
		}
	}
	if err := p.errs.sorted(); err != nil {
		return nil, err
	}
	return &p.plan, nil
}

func (p *planner) statement(st Stmt) error {
	switch st := st.(type) {
	case *Clock:
		if p.begun {
			return errors.New("the clock is set before the first event")
		}
		if st.Start != nil {
			p.start = *st.Start
		}
		if st.Step != nil {
			p.step = *st.Step
		}
	case *Random:
		p.seed = st.Seed
	case *CPU:
		p.cpu = st.N
		p.cpus = max(p.cpus, st.N+1)
	case *Mock:
		p.mocks = append(p.mocks, st)
	case *Mem:
		b, err := st.Value.MemoryBytes()
		if err != nil {
			return err
		}
		return p.memory.at(st.Addr, b)
	case *Task:
		w := who{}.with(st.Set)
		p.people[w.pid] = w
		p.tasks = append(p.tasks, w)
	case *MapSet:
		p.sets = append(p.sets, st)
	case *WorldItem:
		if p.world == nil {
			p.world = &runtime.World{}
		}
		if err := st.addTo(p.world); err != nil {
			return err
		}
	case *Stack:
		p.stacked = true
		if st.User {
			p.stacks.User = st.addresses()
		} else {
			p.stacks.Kernel = st.addresses()
		}
	case *Event:
		return p.event(st)
	case *Expect:
		p.checks = append(p.checks, checkpoint{st, len(p.blocks)})
	}
	return nil
}

// event adds the block of one statement.
func (p *planner) event(e *Event) error {
	w, repeat, every := who{cpu: p.cpu}, uint64(1), p.step
	for _, a := range e.Set {
		switch a.Name {
		case "pid":
			if known, ok := p.people[a.Value.Num]; ok {
				known.cpu = p.cpu
				w = known
			}
		case "repeat":
			repeat = a.Value.Num
		case "every":
			every = time.Duration(a.Value.Num)
		}
	}
	w = w.with(e.Set)
	if w.pid != 0 {
		p.people[w.pid] = w
	}
	p.cpus = max(p.cpus, w.cpu+1)
	at := p.now
	switch {
	case e.At != nil:
		at = *e.At
	case p.begun:
		at += p.step
	}
	p.begun = true
	regs, err := p.arguments(e)
	if err != nil {
		return err
	}
	frames, err := p.packets(e)
	if err != nil {
		return err
	}
	src := &source{ev: e, world: w, stacks: p.stacks, regs: regs}
	switch h := findHook(e.Hook); {
	case h.fields:
		src.ctx, err = p.contextArgs(h, e)
	case h.name == "kprobe":
		src.names, err = p.probeRegs(h, e)
	case h.traced:
		src.call, err = p.tracedArgs(h, e, regs)
	}
	if err != nil {
		return err
	}
	return p.add(block{source: src, at: at, every: every, repeat: repeat, frames: frames})
}

// add appends a block and moves the time to its end.
func (p *plan) add(b block) error {
	if n := uint64(len(b.frames)); b.repeat > MaxEvents/n || p.events+b.repeat*n > MaxEvents {
		return fmt.Errorf("more than %d events", MaxEvents)
	}
	p.blocks = append(p.blocks, b)
	p.events += b.repeat * uint64(len(b.frames))
	if b.repeat == 0 {
		p.now = b.at
		return nil
	}
	// All times together must stay below the clock's 64 bits.
	span, rounds := b.span(), time.Duration(b.repeat)
	if limit := (math.MaxInt64 - b.at - p.start) / rounds; b.every > limit || span > limit-b.every {
		return errors.New("it takes longer than the clock can count")
	}
	p.now = b.at + rounds*span + (rounds-1)*b.every
	return nil
}

// span is the time from the first to the last packet.
func (b *block) span() time.Duration {
	d := time.Duration(0)
	for _, f := range b.frames {
		d = max(d, f.Time.Sub(b.frames[0].Time))
	}
	return d
}

// arguments gives the numbers that the event's arguments stand for; strings and
// bytes get a place in foreign memory.
func (p *planner) arguments(e *Event) ([]uint64, error) {
	h := findHook(e.Hook)
	if h.name == "tracepoint" {
		if err := checkTracepoint(e); err != nil {
			return nil, err
		}
	}
	regs := make([]uint64, len(e.Args))
	for i, a := range e.Args {
		if h.fields || h.packet && slices.Contains(packetArgs, a.Name) || takesBytes(e, a.Name) {
			continue
		}
		is, user, kernel := a.Value.memory()
		switch {
		case a.Value.IsNumber():
			regs[i] = a.Value.Num
		case is && !inRecord(e, a):
			b, err := p.memoryBytes(a.Value)
			if err != nil {
				return nil, err
			}
			if regs[i], err = p.memory.add(b, user || h.userStrings(e.Target) && !kernel); err != nil {
				return nil, err
			}
		case a.Value.Text == "task" && p.rt != nil:
			regs[i] = p.rt.TaskAddr(uint32(a.Value.Args[0].Num))
		}
	}
	return regs, nil
}

// packets gives the packets of an event, one without bytes where it has none.
func (p *planner) packets(e *Event) ([]Frame, error) {
	if !findHook(e.Hook).packet {
		return []Frame{{}}, nil
	}
	frame := 0
	for _, a := range e.Args {
		if a.Name == "frame" {
			frame = int(a.Value.Num)
		}
	}
	for _, a := range e.Args {
		text, _ := a.Value.plain()
		var b []byte
		var err error
		switch a.Name {
		case "packet":
			b, err = PacketWords(text)
		case "hex":
			b, err = PacketHex(text)
		case "file":
			if b, err = p.read(text); err == nil && len(b) > MaxPacket {
				err = errPacketSize
			}
		case "pcap":
			fs, err := p.capture(text)
			switch {
			case err != nil:
				return nil, &Error{Pos: a.Value.Pos, Msg: err.Error(), Err: err}
			case len(fs) == 0:
				return nil, &Error{Pos: a.Value.Pos, Msg: text + ": no frames"}
			case frame > len(fs):
				return nil, &Error{Pos: a.Value.Pos, Msg: fmt.Sprintf("%s: frame %d of %d", text, frame, len(fs))}
			case frame > 0:
				return fs[frame-1 : frame], nil
			}
			return fs, nil
		default:
			continue
		}
		if err == nil && len(b) == 0 {
			err = errors.New("no bytes")
		}
		if err != nil {
			return nil, &Error{Pos: a.Value.Pos, Msg: err.Error(), Err: err}
		}
		link := LinkEthernet
		if text := strings.TrimSpace(text); a.Name == "packet" && findHook(e.Hook).network && strings.HasPrefix(text, "ipv") {
			link = LinkRaw
		}
		return []Frame{{Data: b, Size: len(b), Link: link}}, nil
	}
	return nil, errors.New("no packet")
}

func (p *planner) capture(name string) ([]Frame, error) {
	if fs, ok := p.parts[name]; ok {
		return fs, nil
	}
	b, err := p.read(name)
	if err != nil {
		return nil, err
	}
	fs, err := ReadPcap(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.parts[name] = fs
	return fs, nil
}

// read reads a file that the script names.
func (p *planner) read(name string) ([]byte, error) {
	if p.files == nil {
		return nil, fmt.Errorf("%s: this script cannot open files", name)
	}
	info, err := fs.Stat(p.files, name)
	if err != nil {
		return nil, err
	}
	if p.bytes += int(min(info.Size(), maxPlanBytes+1)); p.bytes > maxPlanBytes {
		return nil, fmt.Errorf("%s: the script's files have more than %d bytes", name, maxPlanBytes)
	}
	return fs.ReadFile(p.files, name)
}
