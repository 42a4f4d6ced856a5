package amd64

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"
)

// bench is an arena with a machine, a context, a packet and a map.
type bench struct {
	mem   *vm.Memory
	m     *vm.Machine
	ctx   *vm.Region // 64 bytes
	value *vm.Region // 4 elements of 16 bytes
	pkt   *vm.Region // 64 bytes of room, 60 of packet, 64 of room

	regs *vm.Region // R0 to R9 for test programs

	initial []byte
}

// setReg sets what test programs find as the value of a register.
func (b *bench) setReg(r isa.Register, v uint64) {
	binary.LittleEndian.PutUint64(b.initial[b.regs.Base-vm.FirstAddr+8*uint64(r):], v)
}

func newBench(t testing.TB) *bench {
	t.Helper()
	mem, err := vm.NewMemory(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	b := &bench{mem: mem}
	if b.m, err = vm.NewMachine(mem); err != nil {
		t.Fatal(err)
	}
	b.ctx = b.alloc(t, vm.Spec{Kind: vm.RegionCtx, Size: 64, Perm: vm.PermRW})
	b.pkt = b.alloc(t, vm.Spec{Kind: vm.RegionPacket, Size: 64 + 60 + 64})
	b.pkt.Start, b.pkt.End = b.pkt.Base+64, b.pkt.Base+64+60
	mem.Protect(b.pkt.Start, 60, vm.PermRW)
	b.value = b.alloc(t, vm.Spec{Kind: vm.RegionMapValue, Name: "counts", Elem: 16, Count: 4, Perm: vm.PermRW})
	b.regs = b.alloc(t, vm.Spec{Kind: vm.RegionScratch, Size: 80, Perm: vm.PermRead})
	b.m.PktData, b.m.PktEnd = b.pkt.Start, b.pkt.End
	for i := range mem.Raw(b.pkt.Start, 60) {
		mem.Raw(b.pkt.Start, 60)[i] = byte(i)*7 + 1
	}
	for i := range mem.Raw(b.value.Base, 64) {
		mem.Raw(b.value.Base, 64)[i] = byte(i*37 + 0x81)
	}
	for i, v := range []uint64{b.pkt.Start, b.pkt.End, b.pkt.Start} { // xdp_md's first fields
		if err := mem.Store(b.ctx.Base+uint64(4*i), 4, v); err != nil {
			t.Fatal(err)
		}
	}
	b.initial = bytes.Clone(mem.Raw(vm.FirstAddr, mem.Used()))
	return b
}

func (b *bench) alloc(t testing.TB, s vm.Spec) *vm.Region {
	t.Helper()
	r, err := b.mem.Alloc(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func assemble(t testing.TB, src string) *vm.Code {
	t.Helper()
	p, err := isa.AssembleProgram(src)
	if err != nil {
		t.Fatal(err)
	}
	return &vm.Code{Name: "test", Insns: p}
}

// outcome is all that a run leaves behind.
type outcome struct {
	exit   vm.Exit
	trap   *vm.Trap
	memory []byte
	budget uint64
	depth  int
}

// observe runs a compiled program with the bench as it was at first.
func (b *bench) observe(t testing.TB, r vm.Runner, limit uint64) outcome {
	t.Helper()
	copy(b.mem.Raw(vm.FirstAddr, b.mem.Used()), b.initial)
	b.m.Limit = limit
	tail := b.m.Tail
	b.m.Reset()
	b.m.Tail = tail
	var o outcome
	var err error
	o.exit, err = r.Run(b.m, b.ctx.Base)
	if err != nil {
		trap, ok := errors.AsType[*vm.Trap](err)
		if !ok {
			t.Fatalf("the error is no trap: %v", err)
		}
		o.trap = trap
	}
	o.memory = bytes.Clone(b.mem.Raw(vm.FirstAddr, b.mem.Used()))
	o.budget, o.depth = b.m.Budget, b.m.Depth
	return o
}

// difference says how two runs differ, "" when they do not.
func difference(interp, jit outcome) string {
	switch a, b := interp.trap, jit.trap; {
	case (a == nil) != (b == nil):
		return fmt.Sprintf("trap: interp %v, jit %v", a, b)
	case a != nil && (a.Kind != b.Kind || a.PC != b.PC || a.Insns != b.Insns || a.Frame != b.Frame || a.Func != b.Func ||
		a.Addr != b.Addr || a.Size != b.Size || a.Write != b.Write || a.Error() != b.Error()):
		return fmt.Sprintf("trap: interp %+v (%v), jit %+v (%v)", a, a, b, b)
	}
	switch {
	case interp.exit != jit.exit:
		return fmt.Sprintf("exit: interp %+v, jit %+v", interp.exit, jit.exit)
	case interp.budget != jit.budget:
		return fmt.Sprintf("budget: interp %d, jit %d", interp.budget, jit.budget)
	case interp.depth != jit.depth:
		return fmt.Sprintf("depth: interp %d, jit %d", interp.depth, jit.depth)
	}
	if bytes.Equal(interp.memory, jit.memory) {
		return ""
	}
	for i := range interp.memory {
		if interp.memory[i] != jit.memory[i] {
			return fmt.Sprintf("memory at %#x: interp %#02x, jit %#02x", vm.FirstAddr+i, interp.memory[i], jit.memory[i])
		}
	}
	return ""
}

// duel runs one program on both engines.
type duel struct {
	interp, jit *bench
	opt         Options
}

func newDuel(t testing.TB) *duel {
	needNative(t)
	return &duel{interp: newBench(t), jit: newBench(t)}
}

// needNative skips where machine code does not run.
func needNative(t testing.TB) {
	t.Helper()
	b := newBench(t)
	_, err := compile(t, Engine{}, assemble(t, "r0 = 0\n exit")).Run(b.m, b.ctx.Base)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
}

func compile(t testing.TB, e vm.Engine, code *vm.Code) vm.Runner {
	t.Helper()
	r, err := e.Compile(code)
	if err != nil {
		t.Fatalf("%s: %v", e.Name(), err)
	}
	return r
}

// run compares a program under a budget and returns what the interpreter made.
func (d *duel) run(t testing.TB, code *vm.Code, limits ...uint64) outcome {
	t.Helper()
	return d.compare(t, compile(t, interp.Fast, code), compile(t, Engine{d.opt}, code), limits...)
}

// compare is run with the programs compiled.
func (d *duel) compare(t testing.TB, a, b vm.Runner, limits ...uint64) (first outcome) {
	t.Helper()
	for i, limit := range limits {
		x := d.interp.observe(t, a, limit)
		y := d.jit.observe(t, b, limit)
		if i == 0 {
			first = x
		}
		if diff := difference(x, y); diff != "" {
			var text bytes.Buffer
			isa.Disassemble(&text, a.Code().Insns, isa.Printer{Slots: true})
			t.Fatalf("%s, budget %d: %s\n%s", a.Code().Name, limit, diff, &text)
		}
	}
	return first
}
