package elf_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/elf"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestInspect compares the description of shipped objects with golden files.
func TestInspect(t *testing.T) {
	for _, name := range []string{"kmem/kmem_classic", "kmem/kmem_modern", "trace/task", "trace/tailcall", "trace/globals"} {
		t.Run(name, func(t *testing.T) {
			path := "../testdata/" + name + ".bpf.o"
			if _, err := os.Stat(path); err != nil {
				t.Skipf("no object %s", path)
			}
			f, err := elf.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			info := f.Inspect(elf.Options{Name: elf.BaseName(path)})
			// Debug information is long and says nothing about the reader.
			info.Symbols = dropDebug(info.Symbols, func(s elf.SymbolInfo) string { return s.Section })
			info.Sections = dropDebug(info.Sections, func(s elf.SectionInfo) string { return s.Name })
			got, err := json.MarshalIndent(info, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := filepath.Join("testdata", filepath.Base(name)+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
				t.Errorf("%s (-golden +got); -update writes it anew:\n%s", golden, diff)
			}
		})
	}
}

func dropDebug[T any](list []T, section func(T) string) []T {
	var out []T
	for _, v := range list {
		if !strings.Contains(section(v), ".debug_") {
			out = append(out, v)
		}
	}
	return out
}
