package judge

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"bpfvm/elf"
	"bpfvm/spec"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Object is what comparing one object gave.
type Object struct {
	Path string
	Err  error // bpfvm cannot open it at all

	Refused elf.ErrorList // parts that bpfvm refuses
	Theirs  error         // cilium/ebpf cannot open it
	// Linked counts the programs that bpfvm links; those that were compared are in
	// Same and Differ, the others are Unjudged with cilium/ebpf's reason.
	Linked   int
	Same     int
	Slots    int // of the compared programs
	Explain  map[Explained]int
	Differ   map[string][]string // by program
	Unjudged map[string]error    // by program
	Maps     []string            // differences between maps
	// Only are programs that cilium/ebpf links and bpfvm refuses, by name.
	Only map[string]error
}

// Judge reads the object with both libraries.
func Judge(path string, target *btf.Spec) (*Object, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return JudgeBytes(path, raw, target), nil
}

// JudgeBytes is Judge for an object in memory.
func JudgeBytes(path string, raw []byte, target *btf.Spec) *Object {
	o := &Object{Path: path, Explain: make(map[Explained]int), Differ: make(map[string][]string), Unjudged: make(map[string]error), Only: make(map[string]error)}
	f, err := elf.Open(bytes.NewReader(raw), int64(len(raw)))
	var ours *spec.CollectionSpec
	if err == nil {
		ours, err = f.Collection(elf.Options{Name: elf.BaseName(filepath.Base(path)), Target: target})
	}
	if ours == nil {
		o.Err = err
	} else {
		o.Refused, _ = errors.AsType[elf.ErrorList](err)
		o.Linked = len(ours.Programs)
	}
	theirs, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	o.Theirs = err
	if ours == nil || theirs == nil {
		return o
	}
	o.compare(ours, theirs, target)
	return o
}

func (o *Object) compare(ours *spec.CollectionSpec, theirs *ebpf.CollectionSpec, target *btf.Spec) {
	refused := make(map[string]error)
	for _, err := range o.Refused {
		if pe, ok := errors.AsType[*elf.ProgramError](err); ok {
			refused[pe.Program] = pe
		}
	}
	o.Maps = Maps(ours, theirs)
	for _, name := range slices.Sorted(maps.Keys(theirs.Programs)) {
		p := ours.Program(name)
		switch {
		case refused[name] != nil:
			o.Only[name] = refused[name]
			continue
		case p == nil && isSubprogram(ours, name):
			continue // a static function, which they list as a program
		case p == nil:
			o.Differ[name] = []string{"the program is only in cilium/ebpf's"}
			continue
		}
		res, err := Program(p, theirs.Programs[name], theirs.Types, target)
		switch {
		case err != nil:
			o.Unjudged[name] = err
			continue
		case len(res.Diffs) > 0:
			o.Differ[name] = res.Diffs
		default:
			o.Same++
		}
		o.Slots += res.Slots
		for why, n := range res.Explained {
			o.Explain[why] += n
		}
	}
}

func isSubprogram(c *spec.CollectionSpec, name string) bool {
	return slices.ContainsFunc(c.Programs, func(p *spec.ProgramSpec) bool {
		return slices.ContainsFunc(p.Funcs, func(f spec.Func) bool { return f.Name == name })
	})
}
