package kernel

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bpfvm/elf"
)

// Every program of a directory of objects goes to the kernel: whatever it says,
// there is an answer, and no object's types are refused.
func TestCorpus(t *testing.T) {
	root := os.Getenv("BPFVM_CORPUS")
	if root == "" {
		t.Skip("BPFVM_CORPUS names no directory of objects")
	}
	k := start(t, Options{Deadline: 30 * time.Second})
	counts := make(map[string]int)
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".o") {
			return err
		}
		c, _ := elf.Load(path, elf.Options{}) // what it cannot use it leaves out
		if c == nil {
			counts["object not read"]++
			return nil
		}
		for _, p := range c.Programs {
			r, err := k.Load(t.Context(), Job{Spec: c, Program: p.Name, Log: LogStats})
			if err != nil {
				t.Errorf("%s %s: %v", path, p.Name, err)
				counts["error"]++
				continue
			}
			counts[r.Verdict.String()]++
			if r.Note != "" {
				counts["with a note"]++
				t.Logf("%s %s: %s", path, p.Name, r.Note)
			}
			if r.Verdict == NotTried {
				t.Logf("%s %s: %s", path, p.Name, r.Reason)
			}
			if r.Verdict == Rejected && !r.Verified {
				t.Logf("%s %s: %v before the verifier", path, p.Name, r.Errno)
			}
			if r.Verdict == Rejected && strings.Contains(r.Message(), "info") {
				t.Logf("%s %s: %s", path, p.Name, r.Message())
			}
		}
		return nil
	})
	t.Log(counts)
}
