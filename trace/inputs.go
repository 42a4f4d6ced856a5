package trace

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"bpfvm/elf"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/tools/txtar"
)

// Inputs is everything that a run depends on. Name and Object are needed, and
// something that happens: a script, packets, or a context.
type Inputs struct {
	// Name is the object's file name without folders, for messages.
	Name   string
	Object []byte // the ELF file

	// Programs names the programs to load; empty: all that can be loaded.
	Programs []string

	ScriptName string // for messages
	Script     []byte // event script; nil: none
	// Frames are packets that arrive after the script's events.
	Frames []scenario.Frame
	// Files are what packet events of the script name, by their names there.
	Files map[string][]byte
	// Ctx is the context on which the one program runs once, when there is neither
	// a script nor a packet; nil: none, empty: zeros.
	Ctx []byte

	// Maps holds the elements that maps have before the first event, as JSON by the
	// name of the map.
	Maps map[string][]byte
	// Vars are changes to data sections before they are loaded.
	Vars []Var

	Seed   uint64 // of the random numbers
	CPUs   int    // virtual CPUs; 0: as many as the script names
	Budget uint64 // instructions that one run may execute; 0: vm.DefaultBudget
	Repeat int    // how often everything happens; 0: once
	Target []byte // BTF of the kernel that is played; nil: the embedded one
}

// Var is a change of a data section: a global variable that a loader sets.
type Var struct {
	Map  string // ".rodata" as the map is called
	Off  uint32 // of the first byte
	Data []byte
}

// Trace is inputs that have been read and found usable.
type Trace struct {
	in     Inputs
	coll   *spec.CollectionSpec
	script *scenario.Script
	target *btf.Spec
	files  fs.FS
}

// New reads the inputs. The error names what cannot be read; programs that cannot
// be used are left out, as [Trace.Collection] shows.
func New(in Inputs) (*Trace, error) {
	t := &Trace{in: in}
	if in.Target != nil {
		var err error
		if t.target, err = types.Load(in.Target); err != nil {
			return nil, fmt.Errorf("trace: target BTF: %w", err)
		}
	}
	f, err := elf.Open(bytes.NewReader(in.Object), int64(len(in.Object)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.Name, err)
	}
	coll, err := f.Collection(elf.Options{Name: elf.BaseName(in.Name), Target: t.target})
	if coll == nil || err != nil && len(coll.Programs) == 0 {
		return nil, fmt.Errorf("%s: %w", in.Name, err)
	}
	if len(coll.Programs) == 0 {
		return nil, fmt.Errorf("%s: the object holds no program", in.Name)
	}
	t.coll = coll
	for _, v := range in.Vars {
		if err := setVar(coll, v); err != nil {
			return nil, err
		}
	}
	if in.Script != nil {
		if t.script, err = scenario.Parse(in.ScriptName, in.Script); err != nil {
			return nil, err
		}
	}
	if t.files, err = fileSystem(in.Files); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if in.Repeat < 0 || in.CPUs < 0 || in.CPUs > runtime.MaxCPUs {
		return nil, fmt.Errorf("trace: repeat %d on %d CPUs: want at least 0, and at most %d CPUs", in.Repeat, in.CPUs, runtime.MaxCPUs)
	}
	return t, nil
}

// Inputs returns what the trace was made of. Its slices must not be changed.
func (t *Trace) Inputs() Inputs { return t.in }

// Collection is the object as package elf reads it. It must not be changed.
func (t *Trace) Collection() *spec.CollectionSpec { return t.coll }

// Script is the event script, or nil.
func (t *Trace) Script() *scenario.Script { return t.script }

// setVar changes a data section's initial contents.
func setVar(coll *spec.CollectionSpec, v Var) error {
	m := coll.Map(v.Map)
	if m == nil {
		return fmt.Errorf("trace: no data section %s", v.Map)
	}
	if uint64(v.Off)+uint64(len(v.Data)) > uint64(m.ValueSize) {
		return fmt.Errorf("trace: %d bytes at %d do not fit %s of %d bytes", len(v.Data), v.Off, v.Map, m.ValueSize)
	}
	value := make([]byte, m.ValueSize)
	if len(m.Contents) > 0 {
		copy(value, m.Contents[0].Value)
	}
	copy(value[v.Off:], v.Data)
	m.Contents = []spec.MapKV{{Key: make([]byte, m.KeySize), Value: value}}
	return nil
}

// fileSystem makes files findable by the names that a script uses.
func fileSystem(files map[string][]byte) (fs.FS, error) {
	a := &txtar.Archive{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		a.Files = append(a.Files, txtar.File{Name: name, Data: files[name]})
	}
	return txtar.FS(a)
}

// cpus is the number of virtual CPUs.
func (t *Trace) cpus() int {
	n := max(t.in.CPUs, 1)
	if t.script != nil {
		n = max(n, t.script.CPUs())
	}
	return n
}

// bare returns the program whose section says no type: it runs on bytes and their
// number, without a kernel around it.
func (t *Trace) bare() *spec.ProgramSpec {
	if t.script != nil || len(t.in.Frames) > 0 {
		return nil
	}
	p := t.only()
	if p == nil || p.Type != spec.ProgUnspec || len(p.Refs) > 0 {
		return nil
	}
	return p
}

// only returns the program when there is one to choose from, or nil.
func (t *Trace) only() *spec.ProgramSpec {
	switch {
	case len(t.in.Programs) == 1:
		return t.coll.Program(t.in.Programs[0])
	case len(t.in.Programs) == 0 && len(t.coll.Programs) == 1:
		return t.coll.Programs[0]
	}
	return nil
}
