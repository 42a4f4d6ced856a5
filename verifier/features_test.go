package verifier

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfvm/elf"

	"bpfvm/spec"
)

// featureVerdict is a line of testdata/features/verdicts.txt.
type featureVerdict struct {
	object, program, verdict string
	processed                int
	message                  string // the last line
}

func featureVerdicts(t testing.TB) []featureVerdict {
	t.Helper()
	b, err := os.ReadFile("testdata/features/verdicts.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []featureVerdict
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		w := strings.Split(line, "\t")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if len(w) < 4 {
			t.Fatalf("line %q", line)
		}
		n, err := strconv.Atoi(w[3])
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		v := featureVerdict{object: w[0], program: w[1], verdict: w[2], processed: n}
		if len(w) > 4 {
			v.message = w[4]
		}
		list = append(list, v)
	}
	return list
}

// TestFeatures: programs that use kernel functions, typed pointers, iterators,
// dynptrs, locks, objects, callbacks and exceptions, rightly and wrongly. The kernel's
// verdicts, messages and numbers of instructions are the expectations.
func TestFeatures(t *testing.T) {
	objects := map[string]*spec.CollectionSpec{}
	for _, want := range featureVerdicts(t) {
		t.Run(strings.TrimSuffix(want.object, ".bpf.o")+"/"+want.program, func(t *testing.T) {
			cs := objects[want.object]
			if cs == nil {
				var err error
				if cs, err = elf.Load("testdata/features/"+want.object, elf.Options{}); err != nil {
					t.Fatal(err)
				}
				objects[want.object] = cs
			}
			p := cs.Program(want.program)
			if p == nil {
				t.Fatal("the object has no such program")
			}
			r, err := Verify(p, Options{Maps: cs.Maps, BTF: cs.BTF, LogLevel: LogLevel1})
			if err != nil {
				t.Fatal(err)
			}
			got := want
			got.verdict, got.processed = r.Verdict.String(), r.Processed
			got.message = r.Message[strings.LastIndexByte(r.Message, '\n')+1:]
			if got != want {
				t.Errorf("\n got %+v\nwant %+v\n%s", got, want, r.Log)
			}
			if r.Verdict == Rejected && Explain(r.Code) == nil {
				t.Errorf("no explanation of %s", r.Code)
			}
		})
	}
}

// TestFeaturesSpoilt changes instructions of these programs at random: whatever they
// do then, the verifier comes to an end and does not contradict itself.
func TestFeaturesSpoilt(t *testing.T) {
	mutants := 60
	if testing.Short() {
		mutants = 10
	}
	rng := rand.New(rand.NewPCG(6, 18))
	paths, err := filepath.Glob("testdata/features/*.bpf.o")
	if err != nil || len(paths) == 0 {
		t.Fatal("no objects", err)
	}
	for _, path := range paths {
		cs, err := elf.Load(path, elf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range cs.Programs {
			for range mutants {
				spoilt := *p
				spoilt.Insns = slices.Clone(p.Insns)
				for range 1 + rng.IntN(3) {
					in := &spoilt.Insns[rng.IntN(len(spoilt.Insns))]
					switch rng.IntN(4) {
					case 0:
						in.Regs ^= 1 << rng.IntN(8)
					case 1:
						in.Imm += int32(rng.IntN(9)) - 4
					case 2:
						in.Off += int16(rng.IntN(17)) - 8
					case 3:
						*in = spoilt.Insns[rng.IntN(len(spoilt.Insns))]
					}
				}
				if _, err := Verify(&spoilt, Options{Maps: cs.Maps, BTF: cs.BTF, LogLevel: LogLevel2, MaxInsns: 20000}); err != nil {
					t.Errorf("%s:%s: %v\n%v", path, p.Name, err, spoilt.Insns)
					return
				}
			}
		}
	}
}
