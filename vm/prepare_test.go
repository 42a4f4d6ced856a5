package vm

import (
	"errors"
	"fmt"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
)

func assemble(t testing.TB, src string) *Code {
	t.Helper()
	p, err := isa.AssembleProgram(src)
	if err != nil {
		t.Fatal(err)
	}
	return &Code{Name: "test", Insns: p}
}

// How programs are cut into functions, and how much of their frames those reach.
func TestSubprogs(t *testing.T) {
	tests := []struct {
		name, src string
		funcs     []isa.PC // where the code says that functions begin
		want      []Subprog
		crossing  bool
	}{
		{"one, no stack", "r0 = 0\n exit", nil, []Subprog{{0, 2, 0, false}}, false},
		{"as far as the lowest offset", "*(u64 *)(r10 -24) = 1\n r0 = *(u8 *)(r10 -3)\n exit", nil, []Subprog{{0, 3, 24, false}}, false},
		{"the caller's part is not this frame", "r0 = *(u64 *)(r10 +8)\n exit", nil, []Subprog{{0, 2, 0, false}}, false},
		{"below the frame", "*(u8 *)(r10 -9999) = 1\n exit", nil, []Subprog{{0, 2, 512, false}}, false},
		{"load-acquire", "r1 = load_acquire((u64 *)(r10 -16))\n exit", nil, []Subprog{{0, 2, 16, false}}, false},
		{"store-release", "store_release((u64 *)(r10 -16), r1)\n exit", nil, []Subprog{{0, 2, 16, false}}, false},
		{"R10 copied", "r2 = r10\n exit", nil, []Subprog{{0, 2, 512, false}}, false},
		{"R10 stored", "*(u64 *)(r10 -8) = r10\n exit", nil, []Subprog{{0, 2, 512, false}}, false},
		{"called", "call f\n exit\n f:\n *(u32 *)(r10 -4) = 1\n exit", nil, []Subprog{{0, 2, 0, false}, {2, 4, 4, true}}, false},
		{"calls itself", "call pc-1\n exit", nil, []Subprog{{0, 2, 0, true}}, false},
		{"named, called by helpers", "r1 = 7 ll\n exit\n r0 = r10\n exit", []isa.PC{0, 3}, []Subprog{{0, 3, 0, false}, {3, 5, 512, false}}, false},
		{"names in a wide instruction and outside", "r1 = 7 ll\n exit", []isa.PC{-1, 1, 3}, []Subprog{{0, 3, 0, false}}, false},
		{"a jump crosses", "call f\n goto pc+1\n f:\n r0 = 0\n exit", nil, []Subprog{{0, 2, 512, false}, {2, 4, 512, true}}, true},
		{"runs on", "call f\n r0 = 0\n f:\n exit", nil, []Subprog{{0, 2, 512, false}, {2, 3, 512, true}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code := assemble(t, tt.src)
			for _, pc := range tt.funcs {
				code.Funcs = append(code.Funcs, spec.Func{PC: pc})
			}
			p, err := Prepare(code)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, p.Subprogs); d != "" || p.Crossing != tt.crossing {
				t.Errorf("crossing %v (-want +got)\n%s", p.Crossing, d)
			}
			for pc := range code.Insns.All() {
				i := p.SubprogAt(pc)
				s := p.Subprogs[i]
				if pc < s.Start || pc >= s.End {
					t.Errorf("slot %d in function %d: %+v", pc, i, s)
				}
				want := StackSize
				if pc == s.Start {
					want = s.Reach
				}
				if got := p.ReachAt(pc); got != want {
					t.Errorf("slot %d: reach %d, want %d", pc, got, want)
				}
			}
		})
	}
}

// A wide instruction has two slots and counts once.
func TestPreparedNumbers(t *testing.T) {
	p, err := Prepare(assemble(t, "r0 = 0\n r1 = 7 ll\n exit"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int32{0, 1, 1, 2, 3}, p.Pos); d != "" || p.Count() != 3 {
		t.Errorf("%d instructions (-want +got)\n%s", p.Count(), d)
	}
	for pc, want := range map[isa.PC]bool{-1: false, 0: true, 1: true, 2: false, 3: true, 4: false} {
		if p.IsInsn(pc) != want {
			t.Errorf("slot %d: %v", pc, !want)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	_, err := Prepare(assemble(t, "goto pc+9\n call 4711\n r10 += 8\n r0 = 0"))
	want := "test insn 0 (0x05): jump to slot 10, outside of the program's 4\n" +
		"test insn 1 (0x85): call of helper #4711: unsupported operation\n" +
		"test insn 2 (0x07): frame pointer is read only\n" +
		"test insn 3 (0xb7): the last instruction is not an exit or a jump"
	if fmt.Sprint(err) != want || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	if e, ok := errors.AsType[*CompileError](err); !ok || e.PC != 0 || e.Prog != "test" {
		t.Errorf("the first one is %+v", e)
	}
	long := &Code{Name: "long", Insns: make(isa.Program, MaxSlots+1)}
	if _, err := Prepare(long); fmt.Sprint(err) != "long: 1000001 slots, at most 1000000 can be run" {
		t.Errorf("%v", err)
	}
}

// Offsets from the packet's first byte, from headers, and outside.
func TestLoadPacket(t *testing.T) {
	mem := newMemory(t, 0)
	m, err := NewMachine(mem)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok, trap := m.LoadPacket(0, 1); v != 0 || ok || trap != nil {
		t.Errorf("without a packet: %d, %v, %v", v, ok, trap)
	}
	pkt := alloc(t, mem, Spec{Kind: RegionPacket, Size: 4, Perm: PermRead})
	copy(mem.Raw(pkt.Base, 4), []byte{1, 2, 3, 4})
	m.PktData, m.PktEnd = pkt.Base, pkt.Base+4
	tests := []struct {
		off  int32
		size int
		v    uint64
		ok   bool
		trap bool
	}{
		{0, 1, 1, true, false}, {1, 2, 0x0203, true, false}, {0, 4, 0x01020304, true, false},
		{3, 1, 4, true, false}, {3, 2, 0, false, false}, {4, 1, 0, false, false}, {1<<31 - 1, 4, 0, false, false},
		{-1, 1, 0, false, false}, {-1 << 31, 4, 0, false, false},
		{netOffset, 4, 0, false, true}, {linkOffset, 4, 0, false, true},
		{netOffset + maxLinkHeader, 4, 0, false, true}, {netOffset + maxLinkHeader + 1, 4, 0, false, false},
		{linkOffset - 1, 1, 0, false, false},
	}
	for _, tt := range tests {
		v, ok, trap := m.LoadPacket(tt.off, tt.size)
		if v != tt.v || ok != tt.ok || (trap != nil) != tt.trap {
			t.Errorf("%d bytes at %d: %#x, %v, %v", tt.size, tt.off, v, ok, trap)
		}
		if trap != nil && !errors.Is(trap, errors.ErrUnsupported) {
			t.Errorf("%d bytes at %d: %v", tt.size, tt.off, trap)
		}
	}
}

func TestTrapRegs(t *testing.T) {
	mem := newMemory(t, 0)
	m, err := NewMachine(mem)
	if err != nil {
		t.Fatal(err)
	}
	value := alloc(t, mem, Spec{Kind: RegionMapValue, Name: "counts", Elem: 12, Count: 4, Perm: PermRW})
	values := [isa.NumRegisters]uint64{0: 5, 1: Poison + 1, 2: Poison + 1, 3: value.Base + 4, 10: m.FrameTop(MaxFrames - 1)}
	want := []TrapReg{
		{5, true, ""}, {Poison + 1, false, ""}, {Poison + 1, true, ""}, {value.Base + 4, true, "map_value(counts)[0]+4"},
		10: {m.FrameTop(MaxFrames - 1), true, "fp(7)"},
	}
	for i := 4; i < 10; i++ {
		want[i].Init = true
	}
	if d := cmp.Diff(want, TrapRegs(mem, values)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
