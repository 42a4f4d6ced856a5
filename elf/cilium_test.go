package elf_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/internal/tools/corpus/judge"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// ownObjects returns the objects that the module ships.
func ownObjects(t testing.TB) []string {
	t.Helper()
	list, err := filepath.Glob("../testdata/*/*.o")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ciliumObjects returns the little-endian objects in the test data of the
// cilium/ebpf module.
func ciliumObjects(t testing.TB) []string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/ebpf").Output()
	if err != nil {
		t.Skipf("no go command to find the module github.com/cilium/ebpf with: %v", err)
	}
	var list []string
	err = filepath.WalkDir(strings.TrimSpace(string(dir)), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".elf") && !strings.HasSuffix(path, "-eb.elf") {
			list = append(list, path)
		}
		return err
	})
	if err != nil || len(list) == 0 {
		t.Skipf("the module github.com/cilium/ebpf comes without test objects here (%v)", err)
	}
	return list
}

// corpusObjects returns the objects below the folder that BPFVM_CORPUS names.
func corpusObjects(t testing.TB) []string {
	root := os.Getenv("BPFVM_CORPUS")
	if root == "" {
		return nil
	}
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".o") || strings.HasSuffix(path, ".elf")) {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// targetTypes returns what CO-RE is computed against: the running kernel's types
// where there are any, else the embedded ones.
func targetTypes(t testing.TB) *btf.Spec {
	t.Helper()
	if target, err := btf.LoadSpec("/sys/kernel/btf/vmlinux"); err == nil {
		return target
	}
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// TestAgainstCilium links objects with cilium/ebpf as well and compares maps and
// every function, slot by slot, after CO-RE.
func TestAgainstCilium(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("cilium/ebpf applies CO-RE on Linux only")
	}
	target := targetTypes(t)
	same, slots := 0, 0
	for _, path := range slices.Concat(ownObjects(t), ciliumObjects(t), corpusObjects(t)) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			o, err := judge.Judge(path, target)
			switch {
			case err != nil:
				t.Fatal(err)
			case o.Err != nil:
				t.Fatal(o.Err)
			case o.Theirs != nil:
				t.Skipf("cilium/ebpf refuses it: %v", o.Theirs)
			}
			for _, d := range o.Maps {
				t.Error(d)
			}
			for name, diffs := range o.Differ {
				t.Errorf("program %s:\n%s", name, strings.Join(diffs, "\n"))
			}
			for name, err := range o.Unjudged {
				t.Logf("program %s: cilium/ebpf: %v", name, err)
			}
			same += o.Same
			slots += o.Slots
		})
	}
	t.Logf("%d programs of %d slots compared", same, slots)
}

// TestCiliumObjects reads every little-endian object of the cilium/ebpf module's
// test data: each is inspected, and what is refused of it is listed here with the
// reason. An object that is not listed must be usable as a whole.
func TestCiliumObjects(t *testing.T) {
	want := map[string][]string{ // parts of the refusals, in order
		"btf/testdata/relocs-el.elf":           nil,
		"btf/testdata/tags-el.elf":             {`program "prog": symbol "fwdDecl": BTF declares it in neither`},
		"testdata/fwd_decl-el.elf":             {`program "call_fwd": symbol "fwd"`},
		"testdata/invalid_btf_map_init-el.elf": {`map "hash_map": byte 0x8 of the section is 0x1`},
		"testdata/linked1-el.elf":              {`program "entry_l2": symbol "l2"`},
		"testdata/linked2-el.elf":              {`program "entry_l1": symbol "l1"`},
		"testdata/loader-clang-14-el.elf":      {`program "asm_relocation": symbol "MY_CONST"`},
		"testdata/loader-clang-17-el.elf":      {`program "asm_relocation": symbol "MY_CONST"`},
		"testdata/loader-clang-22-el.elf":      {`program "asm_relocation": symbol "MY_CONST"`},
		"testdata/loader_nobtf-el.elf":         {`program "asm_relocation": symbol "MY_CONST"`},
	}
	objects := ciliumObjects(t)
	for _, path := range objects {
		name := filepath.ToSlash(path[strings.LastIndex(path, "@"):])
		_, name, _ = strings.Cut(name, "/")
		t.Run(name, func(t *testing.T) {
			f, err := elf.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			info := f.Inspect(elf.Options{Name: name})
			if len(info.Sections) == 0 || len(info.Symbols) == 0 {
				t.Errorf("inspect shows %d sections, %d symbols", len(info.Sections), len(info.Symbols))
			}
			_, err = f.Collection(elf.Options{Name: name})
			list, _ := errors.AsType[elf.ErrorList](err)
			if len(list) != len(want[name]) {
				t.Fatalf("%d refusals, want %d:\n%v", len(list), len(want[name]), err)
			}
			for i, part := range want[name] {
				if !strings.Contains(list[i].Error(), part) {
					t.Errorf("refusal %v\nwant %s", list[i], part)
				}
			}
		})
	}
	t.Logf("%d objects", len(objects))
}
