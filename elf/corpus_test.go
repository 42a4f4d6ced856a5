package elf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"bpfvm/types"
)

// TestCorpus reads every object below the folder that BPFVM_CORPUS names: none
// may be refused as a whole or take long. What is refused in them is logged.
func TestCorpus(t *testing.T) {
	root := os.Getenv("BPFVM_CORPUS")
	if root == "" {
		t.Skip("BPFVM_CORPUS names no folder of objects")
	}
	var objects, linked, refused int
	var slowest time.Duration
	var hungriest uint64
	if _, err := types.Target(); err != nil { // unpacked once, not on account of an object
		t.Fatal(err)
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".o") && !strings.HasSuffix(path, ".elf") {
			return err
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		c, err := Load(path, Options{})
		slowest = max(slowest, time.Since(begin))
		runtime.ReadMemStats(&after)
		hungriest = max(hungriest, after.TotalAlloc-before.TotalAlloc)
		objects++
		if c == nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		linked += len(c.Programs)
		if err != nil {
			list, _ := errors.AsType[ErrorList](err)
			refused += len(list.Programs())
			t.Logf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects: %d programs linked, %d refused; slowest object %v, most memory %.1f MiB", objects, linked, refused, slowest, float64(hungriest)/(1<<20))
	if hungriest > memLimit {
		t.Errorf("an object allocated %d MiB", hungriest>>20)
	}
	if slowest > 5*time.Second {
		t.Errorf("an object took %v", slowest)
	}
}
