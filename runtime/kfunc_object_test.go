package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bpfvm/runtime"
)

// Masks of CPUs: two are made, in r7 and r8, and a third in the frame.
func TestCPUMasksLikeKernel(t *testing.T) {
	one := func(name, reg string) string { return fmt.Sprintf("\tr1 = %s\n\tcall kfunc bpf_cpumask_%s", reg, name) }
	two := func(name string) string {
		return fmt.Sprintf("\tr1 = r7\n\tr2 = r8\n\tcall kfunc bpf_cpumask_%s", name)
	}
	cpu := func(name string, n int, reg string) string {
		return fmt.Sprintf("\tr1 = %d\n\tr2 = %s\n\tcall kfunc bpf_cpumask_%s", n, reg, name)
	}
	three := func(name string) string {
		return fmt.Sprintf("\tr1 = r7\n\tr2 = r7\n\tr3 = r8\n\tcall kfunc bpf_cpumask_%s", name)
	}
	void := func(s string) string { return s + "\n\tr0 = 0" }
	var body []string
	for _, reg := range []string{"r7", "r8"} {
		for _, q := range []string{"first", "first_zero", "weight", "empty", "full"} {
			body = append(body, one(q, reg))
		}
	}
	look := append([]string{two("equal"), two("intersects"), two("subset"), two("first_and")}, body...)
	steps := append([]string{}, look...)
	change := func(s ...string) { steps = append(append(steps, s...), look...) }
	change(cpu("test_cpu", 0, "r7"), void(cpu("set_cpu", 0, "r7")), cpu("test_cpu", 0, "r7"), cpu("test_and_set_cpu", 0, "r7"), cpu("test_and_set_cpu", 1, "r7"))
	change(void(cpu("set_cpu", 1, "r8")), cpu("test_cpu", 5000, "r8"), void(cpu("set_cpu", 5000, "r8")), cpu("test_and_clear_cpu", 5000, "r8"))
	change(three("and"))
	change(void(one("setall", "r7")), void(one("clear", "r8")))
	change(void(three("or")), void(three("xor")), cpu("test_and_clear_cpu", 1, "r7"), void(cpu("clear_cpu", 7, "r7")))
	change(void("\tr1 = r8\n\tr2 = r7\n\tcall kfunc bpf_cpumask_copy"), void(three("xor")))
	var src strings.Builder
	src.WriteString(".license \"GPL\"\n.bss out\n.zero 2000\n.program prog syscall\n\tr9 = data[out]\n" +
		"\tcall kfunc bpf_cpumask_create\n\tif r0 == 0 goto gone\n\tr7 = r0\n\tcall kfunc bpf_cpumask_create\n\tif r0 == 0 goto gone1\n\tr8 = r0\n")
	for i, s := range steps {
		// A bool fills one byte of R0, and only that counts.
		if _, name, _ := strings.Cut(s, "call kfunc bpf_cpumask_"); !slices.Contains([]string{"first", "first_zero", "first_and", "weight"}, name) {
			s += "\n\tr0 &= 255"
		}
		src.WriteString(fmt.Sprintf("%s\n\t*(u32 *)(r9 +%d) = w0\n", s, 4*i))
	}
	src.WriteString("\tr1 = r8\n\tcall kfunc bpf_cpumask_release\n\tr1 = r7\n\tcall kfunc bpf_cpumask_acquire\n\tr1 = r0\n\tcall kfunc bpf_cpumask_release\ngone1:\n\tr1 = r7\n\tcall kfunc bpf_cpumask_release\ngone:\n\tr0 = 0\n\texit\n")
	runCases(t, []helperCase{{"cpumask", src.String(), [][]byte{make([]byte, 8)}}})
}

func TestPointersInMaps(t *testing.T) {
	const head = ".license \"GPL\"\n.map m type=array key=4 value=16 max_entries=1\n.program p tc\n"
	// A mask goes into a map value; what was there comes back.
	const slot = "\t*(u32 *)(r10 -4) = 0\n\tr1 = map[m]\n\tr2 = r10\n\tr2 += -4\n\tcall bpf_map_lookup_elem\n\tif r0 == 0 goto out\n\tr6 = r0\n"
	src := head + slot + "\tr1 = r6\n\tr2 = 7\n\tcall bpf_kptr_xchg\n\tr7 = r0\n\tr1 = r6\n\tr2 = 0\n\tcall bpf_kptr_xchg\n\tr0 <<= 8\n\tr0 |= r7\nout:\n\texit"
	runOne(t, src, &runtime.SKB{Data: eth(64)}, func(t *testing.T, res runtime.Result) {
		if res.R0 != 7<<8 {
			t.Errorf("r0 %#x", res.R0)
		}
	})
}

// bpf_throw ends the program from any depth.
func TestThrow(t *testing.T) {
	src := ".license \"GPL\"\n.program p tc\n\tr1 = 5\n\tcall f\n\tr0 = 1\n\texit\n.section \".text\"\n.func f static\n\tr1 += 30\n\tcall kfunc bpf_throw\n\tr0 = 2\n\texit\n"
	runOne(t, src, &runtime.SKB{Data: eth(64)}, func(t *testing.T, res runtime.Result) {
		if res.R0 != 35 || res.Insns != 4 {
			t.Errorf("r0 %d after %d instructions", res.R0, res.Insns)
		}
	})
}
