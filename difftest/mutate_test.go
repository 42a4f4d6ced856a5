package difftest

import (
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

// Mutants of a real program are legal encodings, differ from it, are the same for the
// same seed, and our verifier takes some and refuses others.
func TestMutate(t *testing.T) {
	cs, err := elf.Load("../testdata/xdp/firewall.bpf.o", elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &Case{Name: "firewall", Spec: cs, Programs: []string{"firewall"}, Frames: SamplePackets()[:3]}
	verdicts := map[bool]int{}
	for seed := range uint64(150) {
		m, err := Mutate(c, seed)
		if err != nil {
			t.Fatal(err)
		}
		p := m.Spec.Program("firewall")
		if err := p.Insns.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again, _ := Mutate(c, seed); !equalPrograms(p, again.Spec.Program("firewall")) {
			t.Fatalf("seed %d gives two programs", seed)
		}
		if equalPrograms(p, cs.Program("firewall")) {
			t.Errorf("seed %d changes nothing", seed)
		}
		s, err := CheckSound(t.Context(), m)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, u := range s.Found {
			t.Errorf("seed %d: %s\n%s", seed, u.String(), listing(m))
		}
		verdicts[s.Programs > 0]++
	}
	if verdicts[true] < 20 || verdicts[false] < 20 {
		t.Errorf("accepted %d, refused %d: mutants are too tame or too wild", verdicts[true], verdicts[false])
	}
}

func equalPrograms(a, b *spec.ProgramSpec) bool {
	for pc := range a.Insns {
		if a.Insns[pc] != b.Insns[pc] {
			return false
		}
	}
	return len(a.Insns) == len(b.Insns)
}

// A comparison of a pointer with a number depends on where the kernel puts things:
// the difference is expected, not a mismatch.
func TestPointerAsNumber(t *testing.T) {
	k, err := StartKernel(t.Context())
	if err != nil {
		t.Skipf("the kernel cannot be asked: %v", err)
	}
	defer k.Close()
	for _, condition := range []string{"r1 s< 0x41", "r1 > r10", "r1 < r10"} {
		c := socketCase(t, `
			r0 = 1
			if `+condition+` goto l
			r0 = 2
		l:	exit
		`, "0102")
		camp := &Campaign{Engines: []Engine{engine(t, "step"), k}}
		found, err := camp.Compare(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 0 {
			t.Errorf("%s: found %+v, skips %+v", condition, found, camp.Skips())
		}
	}
}

// Linux 6.18 removes a callback that bpf_loop never calls, and then does not find it
// any more: a program like this is no judgement of the verifier, whatever it says.
func TestCallbackNeverCalled(t *testing.T) {
	k, err := StartKernel(t.Context())
	if err != nil {
		t.Skipf("the kernel cannot be asked: %v", err)
	}
	defer k.Close()
	cs, err := assemble("p.s", []byte(`
.license "GPL"
.program p socket
	r1 = 0
	r2 = func[cb]
	r3 = 0
	r4 = 0
	call bpf_loop
	r0 = 0
	exit
.func cb static
	r0 = 0
	exit
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(cs.BTF) == 0 || cs.Programs[0].Insns[1].Src() != isa.Register(isa.PseudoFunc) {
		t.Fatal("no types, or no callback")
	}
	v, err := CompareVerdicts(t.Context(), k, cs, cs.Programs[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel: %s %s", v.Kernel, v.KernelMessage)
	if v.Class != BothAccept && v.Class != Skipped {
		t.Errorf("%+v", v)
	}
}
