package interp

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Helpers of the tests, under the kernel's numbers where there are such.
const (
	helperLookup     = 1
	helperUpdate     = 2
	helperTailCall   = 12
	helperAdjustHead = 44
	helperLoop       = 181
	helperRead       = 9002
	helperWrite      = 9003
	helperVoid       = 9004
	helperFails      = 9005
	helperReserve    = 9006
)

// testHelpers act on a bench as their namesakes do, as far as the loops see.
func testHelpers(b *bench) map[int32]*vm.Helper {
	return map[int32]*vm.Helper{
		9001: sumHelper,
		helperLookup: {
			Proto: &spec.HelperProto{Name: "bpf_map_lookup_elem", Ret: spec.RetMapValueOrNull, Args: [5]spec.ArgKind{spec.ArgConstMapPtr, spec.ArgMapKey}},
			Fn: func(m *vm.Machine, _, key, _, _, _ uint64) (uint64, error) {
				i, err := m.Mem.Load(key, 4)
				if err != nil || i >= 4 {
					return 0, err
				}
				return b.value.Base + i*b.value.Stride, nil
			},
		},
		helperUpdate: {
			Proto: &spec.HelperProto{Name: "bpf_map_update_elem", Args: [5]spec.ArgKind{spec.ArgConstMapPtr, spec.ArgMapKey, spec.ArgMapValue, spec.ArgAnything}},
			Fn:    func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil },
		},
		helperAdjustHead: {
			Proto: &spec.HelperProto{Name: "bpf_xdp_adjust_head", ChangesPacket: true, Args: [5]spec.ArgKind{spec.ArgCtx, spec.ArgAnything}},
			Fn: func(m *vm.Machine, ctx, delta, _, _, _ uint64) (uint64, error) {
				b.pkt.Start += delta
				return 0, m.Mem.Store(ctx, 4, b.pkt.Start)
			},
		},
		helperRead: {
			Proto: &spec.HelperProto{Name: "read_mem", Args: [5]spec.ArgKind{spec.ArgMem, spec.ArgSize}},
			Fn:    func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil },
		},
		helperWrite: {
			Proto: &spec.HelperProto{Name: "write_mem", Args: [5]spec.ArgKind{spec.ArgUninitMem, spec.ArgSize}},
			Fn: func(m *vm.Machine, p, size, _, _, _ uint64) (uint64, error) {
				dst, err := m.Mem.Bytes(p, int(size), vm.PermWrite)
				clear(dst)
				return 0, err
			},
		},
		helperVoid: {
			Proto: &spec.HelperProto{Name: "no_result", Ret: spec.RetVoid},
			Fn:    func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil },
		},
		helperFails: {
			Proto: &spec.HelperProto{Name: "always_fails"},
			Fn: func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
				return 0, errors.New("nothing to do")
			},
		},
		helperReserve: {
			Proto: &spec.HelperProto{Name: "reserve", Ret: spec.RetMemOrNull, Args: [5]spec.ArgKind{spec.ArgAllocSize}},
			Fn: func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
				return b.value.Base, nil
			},
		},
		helperLoop: {
			Proto: &spec.HelperProto{Name: "bpf_loop", Args: [5]spec.ArgKind{spec.ArgAnything, spec.ArgFunc, spec.ArgStackOrNull}},
			Fn: func(m *vm.Machine, n, fn, ctx, _, _ uint64) (uint64, error) {
				for i := range n {
					if _, err := m.Call(fn, [5]uint64{i, ctx}); err != nil {
						return 0, err
					}
				}
				return n, nil
			},
		},
		helperTailCall: {
			Proto: &spec.HelperProto{Name: "bpf_tail_call", Ret: spec.RetVoid, Args: [5]spec.ArgKind{spec.ArgCtx, spec.ArgConstMapPtr, spec.ArgAnything}},
			Fn: func(m *vm.Machine, _, _, _, _, _ uint64) (uint64, error) {
				if m.TailCalls >= vm.MaxTailCalls {
					return 0, nil
				}
				m.TailCalls++
				return 0, vm.ErrTailCall
			},
		},
	}
}

// testMap is the owner of the map handle: the map's contract.
type testMap spec.MapSpec

func (m *testMap) Spec() *spec.MapSpec { return (*spec.MapSpec)(m) }

// link puts the addresses of a bench into the wide instructions of a program: the
// value's into map_value, the map's handle into map_fd.
func (b *bench) link(t testing.TB, code *vm.Code) {
	t.Helper()
	handle, err := b.mem.Handle(vm.RegionMap, "counts", &testMap{KeySize: 4, ValueSize: 16})
	if err != nil {
		t.Fatal(err)
	}
	for pc, ins := range code.Insns.All() {
		if !ins.IsWide() {
			continue
		}
		switch isa.Pseudo(ins.Src()) {
		case isa.PseudoMapFD:
			code.Insns.SetImm64(pc, handle.Base)
		case isa.PseudoMapValue:
			v, _ := code.Insns.Imm64(pc)
			code.Insns.SetImm64(pc, b.value.Base+v>>32)
		}
	}
}

// trapCases are programs that go wrong. The golden file has what each loop says.
var trapCases = []struct{ name, source string }{
	{"below the stack", "*(u64 *)(r10 -520) = 1\n exit"},
	{"above the stack", "r1 = *(u64 *)(r10 +0)\n r0 = 0\n exit"},
	{"across the frame's top", "r0 = *(u64 *)(r10 -4)\n exit"},
	{"null", "r1 = 0\n r0 = *(u32 *)(r1 +8)\n exit"},
	{"lookup without a check", "*(u32 *)(r10 -4) = 9\n r2 = r10\n r2 += -4\n r1 = map[fd:0]\n call 1\n r0 = *(u64 *)(r0 +0)\n exit"},
	{"past value_size", "*(u32 *)(r10 -4) = 1\n r2 = r10\n r2 += -4\n r1 = map[fd:0]\n call 1\n r0 = *(u64 *)(r0 +16)\n exit"},
	{"before the value", "r1 = map[fd:0][0]+0\n r1 += 16\n r1 += -24\n r0 = *(u64 *)(r1 +0)\n exit"},
	{"map as memory", "r1 = map[fd:0]\n r0 = *(u64 *)(r1 +0)\n exit"},
	{"past data_end", "r2 = *(u32 *)(r1 +0)\n r0 = *(u32 *)(r2 +57)\n exit"},
	{"before data", "r2 = *(u32 *)(r1 +0)\n r2 += -4\n r0 = *(u32 *)(r2 +0)\n exit"},
	{"data_end dereferenced", "r2 = *(u32 *)(r1 +4)\n r0 = *(u8 *)(r2 +0)\n exit"},
	{"data_meta past data", "r2 = *(u32 *)(r1 +8)\n r0 = *(u8 *)(r2 +0)\n exit"},
	{"stale packet pointer", "r6 = *(u32 *)(r1 +0)\n r2 = 4\n call 44\n r0 = *(u8 *)(r6 +10)\n exit"},
	{"spilled packet pointer", "r6 = *(u32 *)(r1 +0)\n *(u64 *)(r10 -8) = r6\n r2 = *(u64 *)(r10 -8)\n r0 = *(u8 *)(r2 +60)\n exit"},
	{"read-only ctx field", "*(u32 *)(r1 +12) = 7\n r0 = 0\n exit"},
	{"past the ctx", "r0 = *(u32 *)(r1 +64)\n exit"},
	{"never written", "r0 = r3\n exit"},
	{"no result", "r1 = 1\n exit"},
	{"lost in a helper", "r2 = 0\n r6 = 0\n call 9004\n r0 = r2\n exit"},
	{"void helper", "call 9004\n exit"},
	{"lost in a function", "r1 = 1\n call f\n r0 = r1\n exit\n f:\n r0 = 0\n exit"},
	{"argument never written", "r1 = r10\n r1 += -8\n call 9002\n r0 = 0\n exit"},
	{"memory argument too long", "r1 = map[fd:0][0]+0\n r2 = 17\n call 9002\n exit"},
	{"memory argument of size 0", "r1 = r10\n r1 += -8\n r2 = 0\n call 9002\n exit"},
	{"memory argument over the frame", "r1 = r10\n r1 += -8\n r2 = 16\n call 9003\n exit"},
	{"key over the frame", "r1 = map[fd:0]\n r2 = r10\n r2 += -2\n call 1\n r0 = 0\n exit"},
	{"value too short", "r1 = map[fd:0]\n r2 = r10\n r2 += -4\n *(u32 *)(r2 +0) = 0\n r3 = map[fd:0][0]+0\n r3 += 8\n r4 = 0\n call 2\n exit"},
	{"not a map", "r1 = r10\n r2 = r10\n r2 += -4\n call 1\n exit"},
	{"not the ctx", "r1 = r10\n r2 = 0\n call 44\n exit"},
	{"reserved memory", "r1 = 8\n call 9006\n *(u64 *)(r0 +8) = 1\n r0 = 0\n exit"},
	{"helper fails", "r0 = 1\n call 9005\n exit"},
	{"callx", "r7 = 77\n callx r7\n exit"},
	{"deep recursion", "call f\n exit\n f:\n call f\n exit"},
	{"inside a function", "r1 = 5\n call f\n exit\n f:\n *(u8 *)(r1 +0) = 1\n r0 = 0\n exit"},
	{"atomic on read-only", "r2 = 0\n lock *(u64 *)(r1 +60) += r2\n r0 = 0\n exit"},
	{"ld_abs from a header", "r6 = r1\n r0 = *(u8 *)skb[-1048576]\n exit"},
	{"ld_abs without ctx", "r6 = 1\n r0 = *(u8 *)skb[0]\n exit"},
	{"endless", "r0 = 0\n l:\n r0 += 1\n goto l\n exit"},
	{"frames not in use", "r1 = r10\n r1 += 1024\n r0 = *(u64 *)(r1 -8)\n exit"},
}

func TestTraps(t *testing.T) {
	var out strings.Builder
	for _, tt := range trapCases {
		fmt.Fprintf(&out, "%s\n", tt.name)
		for _, e := range engines {
			b := newBench(t)
			code := assemble(t, tt.source)
			code.Funcs = []spec.Func{{Name: "test"}}
			if i := strings.Index(tt.source, "f:"); i >= 0 {
				code.Funcs = append(code.Funcs, spec.Func{Name: "f", PC: isa.PC(strings.Count(tt.source[:i], "\n"))})
			}
			code.Helpers = testHelpers(b)
			b.link(t, code)
			b.m.Limit = 100
			x, err := b.run(t, e, code)
			trap, _ := errors.AsType[*vm.Trap](err)
			if trap == nil {
				fmt.Fprintf(&out, "\t%-6s r0 %#x after %d\n", e.Name(), x.R0, x.Insns)
				continue
			}
			fmt.Fprintf(&out, "\t%-6s %v (%v trap, %d before, frame %d)\n", e.Name(), trap, trap.Kind, trap.Insns, trap.Frame)
			if b.m.Limit-b.m.Budget != trap.Insns || b.m.Depth != 0 {
				t.Errorf("%s: %s left budget %d of %d, depth %d; the trap is after %d", tt.name, e.Name(), b.m.Budget, b.m.Limit, b.m.Depth, trap.Insns)
			}
		}
	}
	golden(t, "traps.golden", out.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got); -update accepts:\n%s", name, d)
	}
}
