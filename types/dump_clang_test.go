package types

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestDumpCompiles writes the types of every object here and of the whole target
// kernel as C, and has a compiler say that each struct, union and enum is as large
// as it must be, and that each member is where it must be.
func TestDumpCompiles(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("no clang-19 here to compile the dump with")
	}
	target, err := Target()
	if err != nil {
		t.Fatal(err)
	}
	specs := map[string]*btf.Spec{"target kernel": target}
	for _, pattern := range []string{"../testdata/*/*.o", "../elf/testdata/*.o", "../elf/testdata/matrix/*.o"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if s := objectTypes(t, path); s != nil {
				specs[path] = s
			}
		}
	}
	if root := os.Getenv("BPFVM_CORPUS"); root != "" && !testing.Short() {
		paths, err := filepath.Glob(filepath.Join(root, "*", "*.o"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if s := objectTypes(t, path); s != nil {
				specs[path] = s
			}
		}
	}
	asserted := 0
	for name, s := range specs {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var list []btf.Type
			for typ, err := range s.All() {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, typ)
			}
			var text bytes.Buffer
			d := newDumper(&text)
			err := d.run(list)
			if errors.Is(err, ErrTooLarge) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			asserted += assertions(&text, d, list)
			file := filepath.Join(t.TempDir(), "types.h")
			if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(clang, "-target", "bpf", "-x", "c", "-std=gnu11", "-fsyntax-only", "-ferror-limit=20", "-w", file)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%.4000s", err, out)
				if dir := os.Getenv("BPFVM_KEEP"); dir != "" {
					os.WriteFile(filepath.Join(dir, filepath.Base(name)+".h"), text.Bytes(), 0o644)
				}
			}
		})
	}
	t.Logf("%d BTFs, %d assertions", len(specs), asserted)
}

// objectTypes reads an object's section .BTF; nil if it has none.
func objectTypes(t *testing.T, path string) *btf.Spec {
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sec := f.Section(".BTF")
	if sec == nil {
		return nil
	}
	raw, err := sec.Data()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(raw)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return s
}

// assertions writes what must hold for each named type that was defined.
func assertions(w *bytes.Buffer, d *dumper, list []btf.Type) int {
	n := 0
	assert := func(format string, args ...any) {
		fmt.Fprintf(w, "_Static_assert(%s, \"\");\n", fmt.Sprintf(format, args...))
		n++
	}
	for _, t := range list {
		if d.state[t] != dumpDone || t.TypeName() == "" {
			continue
		}
		keyword := "struct"
		switch t := t.(type) {
		case *btf.Struct:
		case *btf.Union:
			keyword = "union"
		case *btf.Enum:
			if t.Size == 0 {
				continue // declared, not defined
			}
			assert("sizeof(enum %s) == %d", d.name(t), t.Size)
			continue
		default:
			continue
		}
		fields, size, _ := members(t)
		assert("sizeof(%s %s) == %d", keyword, d.name(t), size)
		for _, m := range fields {
			if m.Name != "" && m.BitfieldSize == 0 {
				assert("__builtin_offsetof(%s %s, %s) == %d", keyword, d.name(t), cIdent(m.Name), m.Offset.Bytes())
			}
		}
	}
	return n
}
