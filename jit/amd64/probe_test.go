package amd64

import (
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"
)

// Loads through typed kernel pointers read foreign memory, with sign where the form
// has one, and give 0 where there is nothing; other registers keep their values.
func TestProbeLoads(t *testing.T) {
	needNative(t)
	const addr = 0xffff888200000000
	for name, src := range map[string]struct {
		code string
		want uint64
	}{
		"u64":     {"r0 = *(u64 *)(r6 +0)", 0xf7f6f5f4f3f2f1f0},
		"u8":      {"r0 = *(u8 *)(r6 +3)", 0xf3},
		"s16":     {"r0 = *(s16 *)(r6 +2)", ^uint64(0x0c0d)},
		"missing": {"r0 = *(u32 *)(r6 +4096)", 0},
		"null":    {"r6 = 0\nr0 = *(u32 *)(r6 +8)", 0},
		"cut off": {"r0 = *(u64 *)(r6 +4)", 0},
		"arena":   {"r6 = r1\nr0 = *(u32 *)(r6 +0)", 0x44332211},
	} {
		for _, e := range []vm.Engine{interp.Step, interp.Fast, Engine{}} {
			t.Run(name+"/"+e.Name(), func(t *testing.T) {
				b := newBench(t)
				if err := b.mem.Foreign.Add(vm.Segment{Addr: addr, Data: []byte{0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7}}); err != nil {
					t.Fatal(err)
				}
				if err := b.mem.Store(b.ctx.Base, 4, 0x44332211); err != nil {
					t.Fatal(err)
				}
				code := assemble(t, "r6 = 0xffff888200000000 ll\nr7 = 7\nr2 = 2\n"+src.code+"\nif r7 != 7 goto bad\nif r2 != 2 goto bad\nexit\nbad:\nr0 = 99\nexit")
				code.ProbeMem = make([]bool, len(code.Insns))
				for pc, ins := range code.Insns.All() {
					code.ProbeMem[pc] = ins.Op.Class() == isa.ClassLDX
				}
				b.m.Reset()
				x, err := compile(t, e, code).Run(b.m, b.ctx.Base)
				if err != nil || x.R0 != src.want {
					t.Errorf("r0 = %#x, want %#x (%v)", x.R0, src.want, err)
				}
			})
		}
	}
}
