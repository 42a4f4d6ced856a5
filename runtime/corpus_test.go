package runtime_test

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/runtime"
	"bpfvm/spec"
)

// TestCorpusCalls counts what the programs below the folder that BPFVM_CORPUS names
// call, and how much of it there is here: "go test -v -run CorpusCalls".
func TestCorpusCalls(t *testing.T) {
	root := os.Getenv("BPFVM_CORPUS")
	if root == "" {
		t.Skip("BPFVM_CORPUS names no folder of objects")
	}
	var c callCensus
	c.init()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".o") {
			c.object(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects, %d programs; %d call only what there is here (%d of %d that are of a type with a hook)",
		len(c.seen), c.programs, c.complete, c.hookedComplete, c.hooked)
	for _, kind := range []string{"helper", "kfunc"} {
		names := slices.SortedFunc(maps.Keys(c.missing[kind]), func(a, b string) int {
			return cmp.Or(cmp.Compare(c.missing[kind][b], c.missing[kind][a]), cmp.Compare(a, b))
		})
		t.Logf("%ss: %d called, %d missing", kind, len(c.called[kind]), len(names))
		for _, n := range names {
			t.Logf("%6d programs call %s", c.missing[kind][n], n)
		}
	}
}

// callCensus counts programs by what they call.
type callCensus struct {
	seen                   map[[32]byte]bool
	programs, complete     int
	hooked, hookedComplete int
	called                 map[string]map[string]bool
	missing                map[string]map[string]int
	helpers                map[spec.ProgType]map[string]bool
	kfuncs                 map[string]bool
}

func (c *callCensus) init() {
	c.seen = map[[32]byte]bool{}
	c.called = map[string]map[string]bool{"helper": {}, "kfunc": {}}
	c.missing = map[string]map[string]int{"helper": {}, "kfunc": {}}
	c.helpers = map[spec.ProgType]map[string]bool{}
	c.kfuncs = map[string]bool{}
}

func (c *callCensus) object(path string) {
	b, err := os.ReadFile(path)
	if sum := sha256.Sum256(b); err != nil || c.seen[sum] {
		return
	} else {
		c.seen[sum] = true
	}
	cs, err := elf.Load(path, elf.Options{})
	if cs == nil || err != nil && len(cs.Programs) == 0 {
		return
	}
	for _, p := range cs.Programs {
		c.program(p)
	}
}

func (c *callCensus) program(p *spec.ProgramSpec) {
	if c.helpers[p.Type] == nil {
		for _, n := range runtime.Kfuncs(p.Type) {
			c.kfuncs[n] = true
		}
		c.helpers[p.Type] = map[string]bool{}
		for _, n := range runtime.Helpers(p.Type) {
			c.helpers[p.Type][n] = true
		}
	}
	missing := map[string]map[string]bool{"helper": {}, "kfunc": {}}
	for pc, ins := range p.Insns.All() {
		switch {
		case ins.IsHelperCall():
			id := spec.HelperID(ins.Imm)
			h := spec.HelperByID(id)
			if h == nil || !spec.HelperAllowed(p.Type, id) {
				continue // poisoned, or the kernel refuses it
			}
			c.called["helper"][h.Name] = true
			if !c.helpers[p.Type][h.Name] {
				missing["helper"][fmt.Sprintf("%s (%s)", h.Name, p.Type)] = true
			}
		case ins.IsKfuncCall():
			name := "?"
			if r := p.RefAt(pc); r != nil {
				name = r.Name
			}
			c.called["kfunc"][name] = true
			if !c.kfuncs[name] {
				missing["kfunc"][name] = true
			}
		}
	}
	c.programs++
	complete := len(missing["helper"])+len(missing["kfunc"]) == 0
	if complete {
		c.complete++
	}
	if slices.Contains(runtime.ProgTypes(), p.Type) {
		c.hooked++
		if complete {
			c.hookedComplete++
		}
	}
	for kind, names := range missing {
		for n := range names {
			c.missing[kind][n]++
		}
	}
}
