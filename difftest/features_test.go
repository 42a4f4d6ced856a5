package difftest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/elf"
)

// TestFeatureVerdicts asks the kernel about the programs of the verifier's features,
// and holds its own table of what the kernel said against it.
func TestFeatureVerdicts(t *testing.T) {
	k, err := StartKernel(t.Context())
	if err != nil {
		t.Skipf("no kernel to ask: %v", err)
	}
	defer k.Close()
	const dir = "../verifier/testdata/features"
	table, err := os.ReadFile(filepath.Join(dir, "verdicts.txt"))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(dir + "/*.bpf.o")
	if err != nil || len(paths) == 0 {
		t.Fatal("no objects", err)
	}
	for _, path := range paths {
		cs, err := elf.Load(path, elf.Options{Target: hostTypes()})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, p := range cs.Programs {
			v, err := CompareVerdicts(t.Context(), k, cs, p)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(path) + ":" + p.Name
			switch v.Class {
			case Skipped:
				t.Logf("%s: %s", name, v.KernelMessage)
				continue
			case BothAccept, SameMessage:
			default:
				t.Errorf("%s: %s: ours %s, kernel %s", name, v.Class, v.OurMessage, v.KernelMessage)
			}
			if v.OurProcessed != v.KernelProcessed {
				t.Errorf("%s: we looked at %d instructions, the kernel at %d", name, v.OurProcessed, v.KernelProcessed)
			}
			line := fmt.Sprintf("\n%s\t%s\t%s\t%d", filepath.Base(path), p.Name, v.Kernel, v.KernelProcessed)
			if v.KernelMessage != "" {
				line += "\t" + lastLine(v.KernelMessage)
			}
			if !strings.Contains(string(table), line+"\n") {
				t.Errorf("%s: this kernel says%q, the table something else", name, line)
			}
		}
	}
}
