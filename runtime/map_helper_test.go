package runtime_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// Programs use maps of maps, queues, stacks and bloom filters as in the kernel.
func TestMapHelpersLikeKernel(t *testing.T) {
	onStack := func(op, m string, v uint64, flags int) string { // R0, and the value behind
		return fmt.Sprintf("\tr2 = %d\n\t*(u64 *)(r10 -16) = r2\n\tr1 = map[%s]\n\tr2 = r10\n\tr2 += -16\n\tr3 = %d\n\tcall bpf_map_%s_elem", v, m, flags, op)
	}
	value := "\tr0 = *(u64 *)(r10 -16)"
	keyless := func(m string) (steps []string) {
		for _, s := range []struct {
			op    string
			v     uint64
			flags int
		}{
			{"peek", 7, 0}, {"pop", 8, 0}, {"push", 1, 0}, {"push", 2, 0}, {"push", 3, 0}, {"push", 4, 0}, {"peek", 9, 0},
			{"push", 5, 2}, {"push", 6, 1}, {"push", 6, 4}, {"pop", 0, 0}, {"push", 9, 0}, {"pop", 0, 0}, {"pop", 0, 0},
			{"pop", 0, 0}, {"pop", 99, 0}, {"push", 10, 2}, {"peek", 0, 0},
		} {
			steps = append(steps, onStack(s.op, m, s.v, s.flags), value)
		}
		return steps
	}
	inner := func(outer string, k, ik int) string { // *inner[ik], after adding 1
		l := fmt.Sprintf("%d_%d", k, ik)
		return key(outer, k) + "\tcall bpf_map_lookup_elem\n\tif r0 == 0 goto none_" + l + "\n\tr1 = r0\n" +
			fmt.Sprintf("\tr2 = %d\n\t*(u32 *)(r10 -4) = r2\n\tr2 = r10\n\tr2 += -4\n\tcall bpf_map_lookup_elem\n", ik) +
			"\tif r0 == 0 goto miss_" + l + "\n\tr1 = *(u64 *)(r0 +0)\n\tr1 += 1\n\t*(u64 *)(r0 +0) = r1\n\tr0 = r1\n\tgoto ok_" + l +
			"\nnone_" + l + ":\n\tr0 = -1\n\tgoto ok_" + l + "\nmiss_" + l + ":\n\tr0 = -2\nok_" + l + ":"
	}
	maps := []string{}
	for _, k := range []int{0, 1, 2, 3, 1 << 30} {
		for _, ik := range []int{0, 1, 5} {
			maps = append(maps, inner("outer", k, ik))
		}
	}
	bloom := []string{}
	for v := range uint64(12) {
		bloom = append(bloom, onStack("peek", "b", v, 0))
		if v%3 == 0 {
			bloom = append(bloom, onStack("push", "b", v, 0), onStack("peek", "b", v, 0), onStack("push", "b", v+1000, 1), value)
		}
	}
	const twoMaps = ".map a type=%s key=4 value=8 max_entries=2\n.map b type=%[1]s key=4 value=8 max_entries=2\n.map outer type=%s key=4 value=4 max_entries=4 inner=a"
	tests := []struct {
		name, head string
		steps      []string
	}{
		{"queue", ".map q type=queue key=0 value=8 max_entries=3", keyless("q")},
		{"stack", ".map q type=stack key=0 value=8 max_entries=3", keyless("q")},
		{"bloom_filter", ".map b type=bloom_filter key=0 value=8 max_entries=20 flags=64", bloom},
		{"array_of_arrays", fmt.Sprintf(twoMaps, "array", "array_of_maps"), maps},
		{"array_of_hashes", fmt.Sprintf(twoMaps, "hash", "array_of_maps"), maps},
		{"hash_of_arrays", fmt.Sprintf(twoMaps, "array", "hash_of_maps"), maps},
		{"hash_of_hashes", fmt.Sprintf(twoMaps, "hash", "hash_of_maps"), maps},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, size := syscallProg(tt.head, tt.steps...), 8*len(tt.steps)
			if tt.name == "bloom_filter" { // not for sleepable programs
				src, size = packetProg("xdp", tt.head, tt.steps...), 64
			}
			cs := assemble(t, src)
			if outer := cs.Map("outer"); outer != nil {
				outer.Contents = []spec.MapKV{{Key: key32(1), Map: "a"}, {Key: key32(2), Map: "b"}}
				for _, name := range []string{"a", "b"} {
					cs.Map(name).Contents = []spec.MapKV{{Key: key32(1), Value: []byte(name + "1234567")}}
				}
			}
			likeKernel(t, cs, make([]byte, size), make([]byte, size))
		})
	}
}

// bpf_get_stackid stores the stack of the event and gives it a number; the flags are
// those of kernel/bpf/stackmap.c.
func TestStackID(t *testing.T) {
	const src = `
.license "GPL"
.map stacks type=stack_trace key=4 value=32 max_entries=4
.program id kprobe/f
	r2 = map[stacks]
	r3 = *(u64 *)(r1 +112)  ; di: the flags
	call bpf_get_stackid
	exit
.program get kprobe/f
	r6 = r1
	r2 = r10
	r2 += -40
	r4 = *(u64 *)(r1 +112)
	r3 = 40
	call bpf_get_stack
	exit
`
	const (
		user, fast, reuse = 1 << 8, 1 << 9, 1 << 10
		einval, efault    = -22, -14
	)
	kernel := []uint64{0xffffffff81000010, 0xffffffff81000020, 0xffffffff81000030, 0xffffffff81000040, 0xffffffff81000050}
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, src))
		run := func(prog string, flags uint64) int64 {
			t.Helper()
			res, err := c.Program(prog).Run(&runtime.Kprobe{Regs: runtime.PtRegs{DI: flags}})
			if err != nil || res.Trap != nil {
				t.Fatal(err, res.Trap)
			}
			return int64(res.R0)
		}
		if got := run("id", 0); got != efault {
			t.Errorf("without a stack: %d", got)
		}
		rt.SetStacks(runtime.Stacks{Kernel: kernel, User: []uint64{0x401000}})
		first := run("id", 0)
		if first < 0 || run("id", 0) != first || run("id", fast) != first {
			t.Errorf("the same stack: %d", first)
		}
		m := c.Map("stacks")
		value, err := m.Lookup(key32(int(first)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 { // a value has room for four frames
			if got := binary.LittleEndian.Uint64(value[8*i:]); got != kernel[i] {
				t.Errorf("frame %d: %#x", i, got)
			}
		}
		for _, tt := range []struct {
			flags uint64
			want  int64
		}{{1 << 11, einval}, {1 << 12, einval}, {5, efault}, {200, efault}, {user | 1, efault}} {
			if got := run("id", tt.flags); got != tt.want {
				t.Errorf("flags %#x: %d, want %d", tt.flags, got, tt.want)
			}
		}
		u := run("id", user|reuse)
		if value, err := m.Lookup(key32(int(u))); err != nil || binary.LittleEndian.Uint64(value) != 0x401000 || value[8] != 0 {
			t.Errorf("user stack %d: %x, %v", u, value, err)
		}
		for i, want := range []int64{40, 8, einval, efault} {
			flags := []uint64{0, user, 1 << 11, 6}[i]
			if got := run("get", flags); got != want {
				t.Errorf("get_stack with flags %#x: %d, want %d", flags, got, want)
			}
		}
		// Four buckets: other stacks meet those that are there.
		exists, stored := 0, 0
		for i := range uint64(20) {
			rt.SetStacks(runtime.Stacks{Kernel: []uint64{i}})
			switch got := run("id", 0); {
			case got == -17: // EEXIST
				exists++
			case got >= 0:
				stored++
			}
		}
		if exists == 0 || stored == 0 || stored > 3 {
			t.Errorf("%d stored, %d found the place taken", stored, exists)
		}
	})
}
