package elf_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/internal/tools/corpus/judge"
	"bpfvm/types"
)

// TestCoreTargets relocates the kernel's own CO-RE tests, where BPFVM_CORPUS has
// them compiled, against the targets that they are meant for: each variant of a
// structure, with members moved, missing, of other sizes, or not matching at all.
// What comes out must be cilium/ebpf's result, bit for bit.
func TestCoreTargets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("cilium/ebpf applies CO-RE on Linux only")
	}
	var programs, targets []string
	for _, path := range corpusObjects(t) {
		switch base := filepath.Base(path); {
		case strings.HasPrefix(base, "test_core_reloc_"):
			programs = append(programs, path)
		case strings.HasPrefix(base, "btf__core_reloc_"):
			targets = append(targets, path)
		}
	}
	if len(programs) == 0 {
		t.Skip("BPFVM_CORPUS names no folder with the kernel's tests of CO-RE")
	}
	same, unjudged, pairs := 0, make(map[string]int), 0
	for _, program := range programs {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(program), "test_core_reloc_"), ".bpf.o")
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_probed"), "_direct") // two ways to read bitfields
		for _, target := range targets {
			variant := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(target), "btf__core_reloc_"), ".bpf.o")
			if variant != name && !strings.HasPrefix(variant, name+"___") || filepath.Dir(program) != filepath.Dir(target) {
				continue
			}
			pairs++
			t.Run(filepath.Base(program)+"/"+variant, func(t *testing.T) {
				f, err := elf.OpenFile(target)
				if err != nil {
					t.Fatal(err)
				}
				spec, err := types.Load(f.Section(".BTF").Data())
				if err != nil {
					t.Fatal(err)
				}
				o, err := judge.Judge(program, spec)
				if err != nil || o.Err != nil || o.Theirs != nil {
					t.Fatal(err, o.Err, o.Theirs)
				}
				for prog, diffs := range o.Differ {
					t.Errorf("program %s:\n%s", prog, strings.Join(diffs, "\n"))
				}
				// What only one of the two refuses is told apart from what both do.
				for _, err := range o.Refused {
					t.Logf("refused here: %v", err)
				}
				for prog, err := range o.Unjudged {
					unjudged[fmt.Sprint(err)]++
					t.Logf("program %s refused by cilium/ebpf: %v", prog, err)
				}
				same += o.Same
			})
		}
	}
	t.Logf("%d pairs of object and target: %d programs the same", pairs, same)
	for _, why := range slices.Sorted(maps.Keys(unjudged)) {
		t.Logf("%d times: %s", unjudged[why], why)
	}
}
