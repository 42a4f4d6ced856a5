package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// sumOf is a program step that adds up what an iterator over numbers gives, times
// 1000, plus the result of making it.
func sumOf(i, start, end int) string {
	return fmt.Sprintf(`	r1 = r10
	r1 += -8
	r2 = %[2]d
	r3 = %[3]d
	call kfunc bpf_iter_num_new
	r7 = r0
	r8 = 0
next%[1]d:
	r1 = r10
	r1 += -8
	call kfunc bpf_iter_num_next
	if r0 == 0 goto done%[1]d
	r0 = *(s32 *)(r0 +0)
	r8 += r0
	goto next%[1]d
done%[1]d:
	r1 = r10
	r1 += -8
	call kfunc bpf_iter_num_destroy
	r8 *= 1000
	r8 += r7
	r0 = r8`, i, start, end)
}

// bitsOf does the same with the bits of words of .bss buf, whose bytes come from
// the context.
func bitsOf(i int, ptr string, n int) string {
	return fmt.Sprintf(`	r1 = r10
	r1 += -16
	r2 = %[2]s
	r3 = %[3]d
	call kfunc bpf_iter_bits_new
	r7 = r0
	r8 = 0
next%[1]d:
	r1 = r10
	r1 += -16
	call kfunc bpf_iter_bits_next
	if r0 == 0 goto done%[1]d
	r0 = *(s32 *)(r0 +0)
	r8 += r0
	goto next%[1]d
done%[1]d:
	r1 = r10
	r1 += -16
	call kfunc bpf_iter_bits_destroy
	r8 *= 1000
	r8 += r7
	r0 = r8`, i, ptr, n)
}

func TestKfuncsLikeKernel(t *testing.T) {
	var nums, sets []string
	for i, r := range [][2]int{{0, 0}, {0, 1}, {0, 10}, {-3, 3}, {5, 4}, {0, 8 << 20}, {-1, 8 << 20}, {-1 << 31, 1<<31 - 1}, {1<<31 - 3, 1<<31 - 1}, {-1 << 31, -1<<31 + 2}} {
		if r[1]-r[0] <= 16 || r[1]-r[0] > 8<<20 {
			nums = append(nums, sumOf(i, r[0], r[1]))
		}
	}
	for i, n := range []int{0, 1, 2, 3, 511, 512, 1 << 20} {
		sets = append(sets, bitsOf(i, "data[words]", n))
	}
	sets = append(sets, bitsOf(len(sets), "0", 1))
	runCases(t, []helperCase{
		{"iter_num", syscallProg("", nums...), [][]byte{make([]byte, 8*len(nums))}},
		{"iter_num_xdp", packetProg("xdp", "", nums...), [][]byte{eth(64)}},
		{"iter_bits", syscallProg(".data words 1, 0, 128, 0, 0, 0, 0, 255, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 1\n.zero 5000", sets...), [][]byte{make([]byte, 8*len(sets))}},
		{"sections", syscallProg("", "\tcall kfunc bpf_rcu_read_lock\n\tcall kfunc bpf_preempt_disable\n\tcall kfunc bpf_preempt_enable\n\tcall kfunc bpf_rcu_read_unlock\n\tr0 = 1"), [][]byte{make([]byte, 8)}},
	})
}

// What is not there is refused by its name, and what another type of program may
// call with the kernel's words.
func TestKfuncRefusals(t *testing.T) {
	for _, tt := range []struct {
		section, name, want string
		unsupported         bool
	}{
		{"xdp", "bpf_arena_alloc_pages", "kfunc bpf_arena_alloc_pages is not supported", true},
		{"kprobe/f", "bpf_skb_ct_alloc", "kfunc bpf_skb_ct_alloc is not supported", true},
	} {
		rt := newRuntime(t, runtime.Options{})
		_, err := rt.Load(assemble(t, fmt.Sprintf(".license \"GPL\"\n.program p %s\n\tcall kfunc %s\n\tr0 = 0\n\texit", tt.section, tt.name)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, errors.ErrUnsupported) != tt.unsupported {
			t.Errorf("%s in %s: %v", tt.name, tt.section, err)
		}
	}
	for _, name := range runtime.Kfuncs(spec.ProgXDP) {
		if !strings.HasPrefix(name, "bpf_") {
			t.Errorf("kernel function %q", name)
		}
	}
}
