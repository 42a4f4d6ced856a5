package debug

import (
	"bytes"
	"context"
	"fmt"

	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/vm"
)

// State is everything that can be seen at one step. It depends on the recording and
// the step alone, not on the way there.
type State struct {
	Step  uint64
	Run   *Run // nil at the end
	Prog  string
	Func  string
	Frame int
	PC    isa.PC
	Insn  string     // the next instruction
	Note  string     // what it is about to do: "pkt+12 = 0x0608", "jumps to 9"
	Line  *spec.Line // nil where unknown
	Fault *vm.Trap   // what the next step does wrong

	Regs   [isa.NumRegisters]Reg
	Frames []Frame // the innermost first
	Stack  Stack   // of the running function
	Ctx    []byte
	Packet *Packet // nil where there is none
	// Maps is what changed since the run began; at the end, since the recording did.
	Maps []scenario.MapChange
}

// Reg is the content of a register.
type Reg struct {
	Value uint64
	Init  bool   // it holds a value that the program may read
	Text  string // as it is to be shown: "pkt+12", "-1", "?"
	// Pointer says that the value is an address; Text names what it points to.
	Pointer bool
}

// Frame is one function that is running.
type Frame struct {
	Prog string
	Func string
	PC   isa.PC // where it is, or the call that it waits for
	Line *spec.Line
}

// Stack is the frame of a function.
type Stack struct {
	Bytes []byte // 512, the lowest address first: Bytes[i] is at r10-512+i
	// Written says for each byte whether the function has written it.
	Written []bool
	Top     uint64 // r10
}

// Packet is the packet of a run.
type Packet struct {
	Bytes  []byte // from data to data_end
	Before []byte // as it was when the run began
	Addr   uint64 // of the first byte
}

// base is what a run began with.
type base struct {
	maps   scenario.Snapshot
	packet []byte
}

// State describes the present place.
func (s *Session) State(ctx context.Context) (*State, error) {
	p := s.here
	out := &State{Step: p.Step, Run: s.Run(), Frame: p.Frame}
	b, err := s.base(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	if w := p.e.world; w.Maps != nil {
		out.Maps = scenario.DiffMaps(b.maps, w.Maps.Snap())
	}
	if p.st == nil {
		return out, nil
	}
	st, code := p.st, p.st.Code()
	out.PC = st.PC()
	out.Prog = code.Name
	out.Func = funcName(code, out.PC)
	out.Line = p.line()
	out.Fault = s.index.faultAt(p.Step)
	out.Insn = Insn(code, out.PC)
	out.Note = note(p, out.Fault)
	for r := range isa.Register(isa.NumRegisters) {
		out.Regs[r] = regOf(p, r)
	}
	out.Frames = frames(p)
	m := st.Machine()
	out.Stack = Stack{Bytes: bytes.Clone(m.Frame(p.Frame)), Written: st.Written(p.Frame), Top: m.FrameTop(p.Frame)}
	if r := m.Mem.Find(m.Ctx); r != nil && r.Kind == vm.RegionCtx {
		out.Ctx = bytes.Clone(peek(p, r.Base, r.Size))
	}
	if r := packetRegion(p); r != nil {
		out.Packet = &Packet{Bytes: bytes.Clone(peek(p, r.Start, r.End-r.Start)), Before: b.packet, Addr: r.Start}
	}
	return out, nil
}

// base plays to the beginning of a run and looks. For the end it is the start of
// the recording.
func (s *Session) base(ctx context.Context, run int) (*base, error) {
	if b := s.bases[run]; b != nil {
		return b, nil
	}
	first := uint64(0)
	if run < len(s.index.runs) {
		first = s.index.runs[run].First
	}
	b := &base{}
	take := func(p *Point) {
		if w := p.e.world; w.Maps != nil {
			p.unlocked(func() { b.maps = w.Maps.Snap() })
		}
		if r := packetRegion(p); r != nil {
			b.packet = bytes.Clone(peek(p, r.Start, r.End-r.Start))
		}
	}
	if s.here.Step == first {
		take(s.here)
	} else if err := s.scan(ctx, first, first, take); err != nil {
		return nil, fmt.Errorf("step %d: %w", first, err)
	}
	if len(s.bases) > 64 { // snapshots of large maps are large
		clear(s.bases)
	}
	s.bases[run] = b
	return b, nil
}

// regOf describes a register.
func regOf(p *Point, r isa.Register) Reg {
	v, known := p.st.Reg(r)
	out := Reg{Value: v, Init: known, Text: number(v)}
	if !known {
		out.Text = "?"
		return out
	}
	obj, ok := p.st.Object(r)
	if !ok {
		return out
	}
	out.Pointer = true
	mem := p.e.world.Memory
	switch {
	case obj.Region != nil && obj.Region.Kind == vm.RegionPacket && obj.Size == 0 && obj.Base == obj.Region.End && v == obj.Base:
		out.Text = "pkt_end"
	case obj.Region != nil && obj.Region.Kind == vm.RegionPacket:
		out.Text = "pkt" + offset(int64(v-obj.Region.Start))
	default:
		out.Text = mem.Symbolize(v)
	}
	return out
}

func offset(off int64) string {
	if off == 0 {
		return ""
	}
	return fmt.Sprintf("%+d", off)
}

// frames lists the running functions, the innermost first.
func frames(p *Point) []Frame {
	code, pc := p.st.Code(), p.st.PC()
	info := p.e.info(code)
	out := []Frame{{code.Name, funcName(code, pc), pc, info.line[pc]}}
	for i := p.Frame - 1; i >= 0; i-- {
		caller, ret, err := p.st.Caller(i)
		if err != nil {
			break
		}
		call := max(ret-1, 0)
		out = append(out, Frame{caller.Name, funcName(caller, call), call, p.e.info(caller).line[call]})
	}
	return out
}

// Bytes returns size bytes at an address: of the program's memory or of foreign
// memory. ok is false when not all of it is there.
func (s *Session) Bytes(addr uint64, size int) (b []byte, ok bool) {
	if size < 0 || size > 1<<20 {
		return nil, false
	}
	b = make([]byte, size)
	return b, read(s.here, b, addr)
}

// Symbolize names an address: "pkt+12".
func (s *Session) Symbolize(addr uint64) string { return s.here.e.world.Memory.Symbolize(addr) }

// Maps is what the maps hold at the present place.
func (s *Session) Maps() scenario.Snapshot {
	if s.here.e.world.Maps == nil {
		return nil
	}
	return s.here.e.world.Maps.Snap()
}

// Code is the program that runs at the present place, nil at the end.
func (s *Session) Code() *vm.Code {
	if s.here.st == nil {
		return nil
	}
	return s.here.st.Code()
}

// LineOf returns the C line that a slot of a code belongs to, nil where unknown.
func (s *Session) LineOf(code *vm.Code, pc isa.PC) *spec.Line {
	if info := s.here.e.info(code); pc >= 0 && int(pc) < len(info.line) {
		return info.line[pc]
	}
	return nil
}
