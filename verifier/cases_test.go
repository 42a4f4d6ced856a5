package verifier

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the cases' expectations anew")

// assembleSpec turns assembly with maps into a program and its maps. A section
// names the program type; without one it is a socket filter.
func assembleSpec(t testing.TB, src string) (*spec.ProgramSpec, Options) {
	t.Helper()
	u, err := isa.Assemble("case.s", []byte(src), isa.Options{
		HelperID: func(name string) (int32, bool) {
			if h := spec.HelperByName(name); h != nil {
				return int32(h.ID), true
			}
			return 0, false
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(u.Sections) != 1 {
		t.Fatalf("%d sections, want one", len(u.Sections))
	}
	sec := u.Sections[0]
	p := &spec.ProgramSpec{Name: "prog", Section: sec.Name, Type: spec.ProgSocketFilter, License: u.License, Insns: sec.Insns}
	if sec.Name != "" {
		typ, ok := spec.ProgTypeByName(sec.Name)
		if !ok {
			t.Fatalf("no program type %q", sec.Name)
		}
		p.Type = typ
	}
	for i, f := range sec.Funcs {
		p.Funcs = append(p.Funcs, spec.Func{Name: f.Name, PC: f.PC, TypeID: uint32(i + 1)})
	}
	var opts Options
	for _, m := range u.Maps {
		typ, ok := spec.MapTypeByName(m.Type)
		if !ok {
			t.Fatalf("no map type %q", m.Type)
		}
		opts.Maps = append(opts.Maps, &spec.MapSpec{Name: m.Name, Type: typ, KeySize: m.KeySize, ValueSize: m.ValueSize,
			MaxEntries: m.MaxEntries, Flags: spec.MapFlags(m.Flags)})
	}
	for _, r := range sec.Refs {
		if r.Local {
			continue
		}
		ref := spec.Ref{PC: r.PC, Name: r.Symbol, Off: r.Addend}
		if isa.Pseudo(sec.Insns[r.PC].Src()) == isa.PseudoMapValue {
			ref.Kind = spec.RefMapValue
		}
		p.Refs = append(p.Refs, ref)
	}
	return p, opts
}

// TestCases runs every testdata/*.txtar: assembly, the verdict with code and
// slot, the message, and the log where the case has one.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, opts := assembleSpec(t, string(section(ar, "asm")))
			opts.LogLevel = LogLevel2
			r, err := Verify(p, opts)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{
				"verdict": strings.TrimSpace(fmt.Sprintf("%v %s", r.Verdict, r.Code)) + "\n",
				"message": r.Message + "\n",
				"log":     r.Log,
				"fix":     r.Fix + "\n",
				"slice":   fmt.Sprintln(r.Slice),
			}
			for i := range ar.Files {
				f := &ar.Files[i]
				want, ok := got[f.Name]
				if !ok {
					continue
				}
				if *update {
					f.Data = []byte(want)
				} else if diff := cmp.Diff(string(f.Data), want); diff != "" {
					t.Errorf("%s (- file, + verifier):\n%s", f.Name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func section(ar *txtar.Archive, name string) []byte {
	for _, f := range ar.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// TestObjects verifies every shipped object: the verdicts are the kernel's, from
// testdata/objects.txt.
func TestObjects(t *testing.T) {
	for _, o := range testdataObjects(t) {
		if strings.HasPrefix(o.name, "bench/alu") && testing.Short() {
			continue
		}
		c, err := elf.Load("../testdata/"+o.name, elf.Options{})
		if err != nil {
			t.Errorf("%s: %v", o.name, err)
			continue
		}
		rejected := false
		for _, p := range c.Programs {
			r, err := Verify(p, Options{Maps: c.Maps, BTF: c.BTF})
			if err != nil {
				t.Errorf("%s:%s: %v", o.name, p.Name, err)
				continue
			}
			if r.Verdict == NotModelled {
				t.Logf("%s:%s: %s", o.name, p.Name, r.Message)
			} else if r.Verdict == Rejected {
				rejected = true
				if o.verdict == "accept" {
					t.Errorf("%s:%s: slot %d: %s", o.name, p.Name, r.PC, r.Message)
				}
			}
		}
		if o.verdict == "reject" && !rejected {
			t.Errorf("%s: accepted, the kernel refuses it", o.name)
		}
	}
}

// TestDrop is the packet bounds program of the documentation.
func TestDrop(t *testing.T) {
	c, err := elf.Load("../testdata/xdp/drop.bpf.o", elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify(c.Programs[0], Options{Maps: c.Maps, LogLevel: LogLevel1})
	if err != nil {
		t.Fatal(err)
	}
	type brief struct {
		Verdict      Verdict
		Code         Code
		Message, Fix string
		PC           isa.PC
		Processed    int
		Path         []Decision
		Slice        []isa.PC
	}
	want := brief{Rejected, CodePacketBounds,
		"invalid access to packet, off=12 size=1, R2(id=0,off=12,r=12)\nR2 offset is outside of the packet",
		"prove 13 bytes: the access ends at byte 13, and 12 are proven", 5, 6,
		[]Decision{{PC: 4, To: 5}}, []isa.PC{1, 2, 3, 4, 5}}
	got := brief{r.Verdict, r.Code, r.Message, r.Fix, r.PC, r.Processed, r.Path, r.Slice}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r.Line == nil || !strings.Contains(r.Line.Text, "h_proto") {
		t.Errorf("C line %+v", r.Line)
	}
}

func TestExplanations(t *testing.T) {
	seen := map[Code]bool{}
	for i, e := range Explanations() {
		if want := Code(fmt.Sprintf("V%03d", i+1)); e.Code != want || seen[e.Code] {
			t.Errorf("entry %d is %s, want %s", i, e.Code, want)
		}
		seen[e.Code] = true
		if e.Title == "" || e.Kernel == "" || e.Why == "" || e.Hint == "" {
			t.Errorf("%s is not complete", e.Code)
		}
	}
	if Explain("V999") != nil {
		t.Error("V999 is explained")
	}
}

type testObject struct{ name, verdict string }

// testdataObjects reads the table of the shipped objects.
func testdataObjects(t testing.TB) []testObject {
	t.Helper()
	b, err := os.ReadFile("../testdata/objects.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []testObject
	for line := range strings.Lines(string(b)) {
		w := strings.Fields(line)
		if len(w) >= 3 && w[0][0] != '#' {
			list = append(list, testObject{w[0], w[2]})
		}
	}
	return list
}
