package interp

import (
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// bench is the table that a test program runs on: an arena with a machine, a
// context and a map value.
type bench struct {
	mem   *vm.Memory
	m     *vm.Machine
	ctx   *vm.Region
	value *vm.Region // 4 elements of 16 bytes
	pkt   *vm.Region // 64 bytes of room, 60 of packet, 64 of room

	initial []byte // the arena before the first run of observe
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
	mem.Protect(b.pkt.Base, b.pkt.Size, vm.PermRW)
	b.value = b.alloc(t, vm.Spec{Kind: vm.RegionMapValue, Name: "counts", Elem: 16, Count: 4, Perm: vm.PermRW})
	b.m.PktData, b.m.PktEnd = b.pkt.Start, b.pkt.End
	for i, p := range mem.Raw(b.pkt.Start, 60) {
		mem.Raw(b.pkt.Start, 60)[i] = p + byte(i)*7 + 1
	}
	// xdp_md's first fields
	b.store(t, b.ctx.Base, 4, b.pkt.Start)
	b.store(t, b.ctx.Base+4, 4, b.pkt.End)
	b.store(t, b.ctx.Base+8, 4, b.pkt.Start)
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

func (b *bench) store(t testing.TB, addr uint64, size int, v uint64) {
	t.Helper()
	if err := b.mem.Store(addr, size, v); err != nil {
		t.Fatal(err)
	}
}

// testCtx describes the context of a bench: the head of xdp_md.
var testCtx = &spec.CtxLayout{Name: "xdp_md", Size: 24, Fields: []spec.CtxField{
	{Name: "data", Off: 0, Size: 4, CType: "__u32", Kind: spec.FieldPacket},
	{Name: "data_end", Off: 4, Size: 4, CType: "__u32", Kind: spec.FieldPacketEnd},
	{Name: "data_meta", Off: 8, Size: 4, CType: "__u32", Kind: spec.FieldPacketMeta},
	{Name: "ingress_ifindex", Off: 12, Size: 4, CType: "__u32"},
	{Name: "mark", Off: 16, Size: 4, CType: "__u32", Write: true},
}}

// assemble turns text into code; map and function references are left to the test.
func assemble(t testing.TB, src string) *vm.Code {
	t.Helper()
	p, err := isa.AssembleProgram(src)
	if err != nil {
		t.Fatal(err)
	}
	return &vm.Code{Name: "test", Insns: p, Ctx: testCtx}
}

// engines are the two loops; every test runs on both.
var engines = []vm.Engine{Step, Fast}

func compile(t testing.TB, e vm.Engine, code *vm.Code) vm.Runner {
	t.Helper()
	r, err := e.Compile(code)
	if err != nil {
		t.Fatalf("%s: %v", e.Name(), err)
	}
	return r
}

// run resets the machine and runs the code on one engine.
func (b *bench) run(t testing.TB, e vm.Engine, code *vm.Code) (vm.Exit, error) {
	t.Helper()
	r := compile(t, e, code)
	b.m.Reset()
	return r.Run(b.m, b.ctx.Base)
}
