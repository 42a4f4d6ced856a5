package elf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
)

// TestCorpus reads every object below the folder that BPFVM_CORPUS names: none
// may panic or take long; what is refused is listed with the reason.
func TestCorpus(t *testing.T) {
	root := os.Getenv("BPFVM_CORPUS")
	if root == "" {
		t.Skip("BPFVM_CORPUS names no folder of objects")
	}
	target, err := btf.LoadSpec("/sys/kernel/btf/vmlinux")
	if err != nil {
		t.Skipf("no target types: %v", err)
	}
	var objects, refused, programs, refusedPrograms int
	var slowest time.Duration
	reasons := make(map[string]int)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !(strings.HasSuffix(path, ".o") || strings.HasSuffix(path, ".elf")) {
			return err
		}
		begin := time.Now()
		c, err := Load(path, Options{Target: target})
		if took := time.Since(begin); took > slowest {
			slowest = took
			t.Logf("%s: %v", path, took)
		}
		objects++
		if c != nil {
			programs += len(c.Programs)
		}
		if err == nil {
			return nil
		}
		if testing.Verbose() {
			t.Logf("%s: %v", path, err)
		}
		if c == nil {
			refused++
		}
		list, _ := errors.AsType[ErrorList](err)
		refusedPrograms += len(list.Programs())
		for _, e := range list {
			for errors.Unwrap(e) != nil {
				if _, ok := e.(interface{ Error() string }); ok {
					switch w := e.(type) {
					case *ProgramError:
						e = w.Err
						continue
					case *MapError:
						e = w.Err
						continue
					case *SectionError:
						e = w.Err
						continue
					}
				}
				break
			}
			reasons[e.Error()]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects, %d refused whole; %d programs linked, %d refused; slowest %v", objects, refused, programs, refusedPrograms, slowest)
}
