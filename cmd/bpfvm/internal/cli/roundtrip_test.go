package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
)

// call runs Main on files and gives what it printed.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(context.Background(), args, IO{
		In: strings.NewReader(""), Out: &out, Err: &errs,
		Env:  func(string) (string, bool) { return "", false },
		Size: func() (int, int) { return 0, 0 },
	})
	return out.String(), errs.String(), code
}

func mustCall(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := call(t, args...)
	if code != exitOK {
		t.Fatalf("bpfvm %s: exit %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

// load opens an object as the verbs do.
func load(t *testing.T, path string) *spec.CollectionSpec {
	t.Helper()
	a := &app{ctx: context.Background()}
	o, err := a.open(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.refused) > 0 {
		t.Fatal(o.refused)
	}
	return o.coll
}

// TestDisasmAssembles disassembles every object of testdata, both whole and
// program by program, assembles the text, and wants the same programs again.
func TestDisasmAssembles(t *testing.T) {
	objects, err := objectsBelow("../../../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) < 15 {
		t.Fatalf("only %d objects", len(objects))
	}
	for _, path := range objects {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want := load(t, path)
			again := reassemble(t, mustCall(t, "disasm", "--elf", path))
			for _, p := range want.Programs {
				if len(p.Core) == 0 { // those of the object are not applied yet
					comparePrograms(t, "--elf", p, again.Program(p.Name))
				}
				one := reassemble(t, mustCall(t, "disasm", path+":"+p.Name, "-S", "--opcodes", "--linum"))
				comparePrograms(t, "linked", p, one.Program(p.Name))
				named := reassemble(t, mustCall(t, "disasm", path+":"+p.Name, "--labels"))
				comparePrograms(t, "labels", p, named.Program(p.Name))
			}
			for _, m := range want.Maps {
				n := again.Map(m.Name)
				if n == nil {
					t.Errorf("map %s is gone", m.Name)
					continue
				}
				if m.Type != n.Type || m.KeySize != n.KeySize || m.ValueSize != n.ValueSize || m.MaxEntries != n.MaxEntries ||
					m.Flags&^spec.MapMmapable != n.Flags { // only variables with BTF can be mapped into memory
					t.Errorf("map %s: %+v became %+v", m.Name, m, n)
				}
			}
		})
	}
}

func reassemble(t *testing.T, text string) *spec.CollectionSpec {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "x.s")
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := call(t, "asm", src); code != exitOK {
		t.Fatalf("asm: exit %d\n%s\n%s", code, errs, text)
	}
	return load(t, filepath.Join(dir, "x.o"))
}

func comparePrograms(t *testing.T, how string, want, got *spec.ProgramSpec) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: program %s is gone", how, want.Name)
		return
	}
	if d := cmp.Diff(want.Insns, got.Insns); d != "" {
		t.Errorf("%s: %s: instructions (-want +got)\n%s", how, want.Name, d)
	}
	if d := cmp.Diff(want.Refs, got.Refs); d != "" {
		t.Errorf("%s: %s: references (-want +got)\n%s", how, want.Name, d)
	}
	if want.Type != got.Type || want.AttachTo != got.AttachTo || want.License != got.License || want.Version != got.Version {
		t.Errorf("%s: %s: %v %q %q %d became %v %q %q %d", how, want.Name, want.Type, want.AttachTo, want.License, want.Version,
			got.Type, got.AttachTo, got.License, got.Version)
	}
}
