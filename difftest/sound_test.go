package difftest

import (
	"slices"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/verifier"
)

// socketCase is a program on one packet of eight bytes.
func socketCase(t testing.TB, program, packet string) *Case {
	t.Helper()
	cs, err := assemble("p.s", []byte(".license \"GPL\"\n.program p socket\n"+program))
	if err != nil {
		t.Fatal(err)
	}
	script, err := scenario.Parse("p", []byte("socket hex=\""+packet+"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &Case{Name: "p", Spec: cs, Script: script}
}

// explored keeps what the verifier has in its registers where it looks.
type explored map[isa.PC][][isa.R10]verifier.Bounds

func (e explored) Insn(pc isa.PC, s *verifier.State) {
	var r [isa.R10]verifier.Bounds
	for i := range r {
		r[i] = s.Frames[len(s.Frames)-1].Regs[i].Bounds
	}
	e[pc] = append(e[pc], r)
}
func (explored) Branch(isa.PC, isa.PC, *verifier.State)                    {}
func (explored) Pruned(isa.PC, *verifier.State, *verifier.State)           {}
func (explored) Compared(isa.PC, *verifier.State, *verifier.State, string) {}

// The pruning example: the states that the verifier looks at have one value of R6 at
// slot 4, and a run comes there with the other. The closed states have both.
func TestOpenStatesAreNotFacts(t *testing.T) {
	const program = `
		r0 = *(u32 *)(r1 +0)
		r6 = 1
		if r0 == 8 goto j
		r6 = 2
		r1 = 0
		r1 = 0
		r1 = 0
		r1 = 0
		r1 = 0
		goto j
	j:	r0 = r6
		r0 += 5
		exit
	`
	const after = 11 // the slot after j
	c := socketCase(t, program, "00")
	p := c.Spec.Programs[0]
	seen := explored{}
	r, err := verifier.Verify(p, verifier.Options{Observer: seen})
	if err != nil || r.Verdict != verifier.Accepted {
		t.Fatal(r, err)
	}
	if n := len(seen[after]); n != 1 {
		t.Fatalf("slot %d was explored %d times; the example wants a pruned path", after, n)
	}
	open := &verifier.Facts{Slots: slices.Clone(r.Facts.Slots)}
	open.Slots[after].Regs = &seen[after][0]
	missed := uint64(3) - uint64(seen[after][0][isa.R6].UMin) // of 1 and 2 the one not explored
	hex := map[uint64]string{1: "0102030405060708", 2: "010203"}[missed]
	c = socketCase(t, program, hex)
	p = c.Spec.Programs[0]

	w := newWatcher(c)
	w.reports[p] = &verifier.Report{Facts: open}
	if _, err := w.engine().Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if len(w.Found) != 1 || w.Found[0].What != "r0" || w.Found[0].Slot != after {
		t.Errorf("open states hold, or something else is wrong: %+v", w.Found)
	}
	s, err := CheckSound(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Found) != 0 || s.Programs != 1 || s.Checked != 6 && s.Checked != 13 {
		t.Errorf("closed states: %+v", s)
	}
}

// Each kind of lie is found, at its slot.
func TestLyingFacts(t *testing.T) {
	const program = `
		r6 = r1
		*(u64 *)(r10 -8) = 7
		r2 = *(u64 *)(r10 -8)
		r0 = *(u32 *)(r6 +0)
		if r0 == 8 goto l
		r0 = 1
	l:	exit
	`
	three := verifier.Bounds{VarOff: verifier.Tnum{Value: 3}, SMin: 3, SMax: 3, UMin: 3, UMax: 3, S32Min: 3, S32Max: 3, U32Min: 3, U32Max: 3}
	tests := []struct {
		name, what string
		slot       int
		lie        func([]verifier.SlotFacts)
	}{
		{"register", "r2", 3, func(f []verifier.SlotFacts) { f[3].Regs[isa.R2] = three }},
		{"stack", "fp-8", 2, func(f []verifier.SlotFacts) { f[2].Stack = []verifier.StackFact{{Off: -8, Bounds: three}} }},
		{"access", "access", 3, func(f []verifier.SlotFacts) { f[3].Access.MinOff, f[3].Access.MaxOff = 4, 8 }},
		{"kind", "access", 2, func(f []verifier.SlotFacts) { f[2].Access.Kind = verifier.PtrToPacket }},
		{"taken", "branch", 4, func(f []verifier.SlotFacts) { f[4].Branch = verifier.NeverTaken }},
		{"reached", "reached", 6, func(f []verifier.SlotFacts) { f[6].Reached = false }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := socketCase(t, program, "0102030405060708")
			p := c.Spec.Programs[0]
			r, err := verifier.Verify(p, verifier.Options{})
			if err != nil || r.Verdict != verifier.Accepted {
				t.Fatal(r, err)
			}
			check := func() *watcher {
				w := newWatcher(c)
				w.reports[p] = r
				if _, err := w.engine().Run(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				return w
			}
			if w := check(); len(w.Found) != 0 {
				t.Fatalf("the truth: %s", w.Found[0].String())
			}
			tt.lie(r.Facts.Slots)
			w := check()
			if len(w.Found) != 1 || w.Found[0].What != tt.what || w.Found[0].Slot != tt.slot {
				t.Fatalf("want %s at slot %d, got %+v", tt.what, tt.slot, w.Found)
			}
			m := Mismatch{Name: "p", Engines: [2]string{"verifier", "step"}, Unsound: w.Found, Case: c}
			if text, err := m.Repro().Format(); err != nil || !strings.Contains(string(text), "# unsound: slot ") {
				t.Errorf("saved as %s, %v", text, err)
			}
		})
	}
}

// Runs of generated programs stay within what our verifier has proven.
func TestGeneratedSound(t *testing.T) {
	programs := 1500
	if testing.Short() {
		programs = 150
	}
	accepted, states := 0, uint64(0)
	for n := range programs {
		c := Generate(41, n, GenOptions{})
		s, err := CheckSound(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range s.Found {
			t.Fatalf("program %s: %s\n%s", c.Name, u.String(), listing(c))
		}
		accepted += s.Programs
		states += s.Checked
	}
	if accepted < programs*6/10 {
		t.Errorf("of %d programs our verifier takes %d", programs, accepted)
	}
	t.Logf("%d programs, %d states", accepted, states)
}

// A collection with several programs is held against the facts of each.
func TestSoundOfTailCalls(t *testing.T) {
	cs, err := assemble("p.s", []byte(`
.map jmp type=prog_array key=4 value=4 max_entries=2
.license "GPL"
.program second socket
	r0 = 2
	exit
.program first socket
	r2 = map[jmp]
	r3 = 0
	call bpf_tail_call
	r0 = 1
	exit
`))
	if err != nil {
		t.Skipf("assembly of two programs: %v", err)
	}
	cs.Map("jmp").Contents = []spec.MapKV{{Key: []byte{0, 0, 0, 0}, Program: "second"}}
	script, err := scenario.Parse("p", []byte("socket hex=\"010203\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := CheckSound(t.Context(), &Case{Name: "p", Spec: cs, Script: script, Programs: []string{"first"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Programs != 2 || len(s.Found) != 0 {
		t.Errorf("%d programs, %v", s.Programs, s.Found)
	}
}

// FuzzSound looks for a generated program, or a mutant of one, whose run leaves what
// the verifier has proven of it.
func FuzzSound(f *testing.F) {
	f.Add(uint64(1), 1, false)
	f.Add(uint64(2), 40, true)
	f.Fuzz(func(t *testing.T, seed uint64, n int, mutate bool) {
		c := Generate(seed, n, GenOptions{Items: 25})
		if mutate {
			m, err := Mutate(c, seed^uint64(n))
			if err != nil {
				return
			}
			c = m
		}
		s, err := CheckSound(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range s.Found {
			t.Errorf("%s\n%s", u.String(), listing(c))
		}
	})
}
