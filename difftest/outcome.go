package difftest

import (
	"errors"
	"hash/maphash"

	"bpfvm/interp"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Knows says which parts of an outcome an engine can tell.
type Knows uint

// Parts of an outcome beyond the lower half of R0, packets and maps, which all
// engines tell.
const (
	KnowsR0     Knows = 1 << iota // all 64 bits
	KnowsInsns                    // number of instructions, and traps
	KnowsCtx                      // the context afterwards
	KnowsTrace                    // what was printed
	KnowsTime                     // clock, task and CPU in records
	KnowsMemory                   // the arena

	knowsAll = KnowsR0 | KnowsInsns | KnowsCtx | KnowsTrace | KnowsTime | KnowsMemory
)

// Outcome is what an engine made of a case.
type Outcome struct {
	Engine string
	Knows  Knows
	Runs   []Run
	Maps   []MapState
	// Expected names what may differ from the kernel's outcome: the helpers of the
	// programs whose results depend on the machine. Engines of ours leave it empty.
	Expected []string
}

// Run is one run of one program.
type Run struct {
	Program string
	Event   string
	R0      uint64
	Insns   uint64
	Trap    *vm.Trap
	Packet  []byte
	Ctx     []byte
	Trace   []string
	Records []Record
	Memory  []Digest // of the regions, with KnowsMemory
}

// Record is what a run sent to user space.
type Record struct {
	Map  string
	CPU  int
	Time uint64
	Data []byte
}

// Digest is a hash over a region of the arena.
type Digest struct {
	Region string // its name: "map_value(counts)"
	Base   uint64
	Sum    uint64
}

// MapState is the content of a map; elements of arrays that are all zeros are left
// out, and elements are in order of key.
type MapState struct {
	Spec  *spec.MapSpec
	Elems []scenario.Elem
}

// Strict returns the trap with which the step loop stopped where engines that check
// memory only go on, or nil. An outcome with such a trap cannot be compared with
// theirs.
func (o *Outcome) Strict() *vm.Trap {
	if o.Engine != interp.Step.Name() {
		return nil
	}
	for i := range o.Runs {
		if t := o.Runs[i].Trap; t != nil {
			switch t.Kind {
			case vm.TrapUninit, vm.TrapBounds, vm.TrapReadOnly, vm.TrapHelper:
				return t
			}
		}
	}
	return nil
}

// poisoned returns the trap of a run that needed what our runtime does not have: the
// loader leaves a call that traps where a weak symbol is missing.
func (o *Outcome) poisoned() *vm.Trap {
	for i := range o.Runs {
		if t := o.Runs[i].Trap; t != nil && errors.Is(t, errors.ErrUnsupported) {
			return t
		}
	}
	return nil
}

// trapped reports whether a run of the outcome ended in a trap.
func (o *Outcome) trapped() bool {
	for i := range o.Runs {
		if o.Runs[i].Trap != nil {
			return true
		}
	}
	return false
}

// hashSeed is the same for all digests of a process.
var hashSeed = maphash.MakeSeed()

// maxDigest bounds the memory in bytes that is hashed after each run: larger arenas
// are compared by their maps at the end.
const maxDigest = 4 << 20

// digests hashes what outlives a run: everything but stacks, of which an engine may
// clear more than another.
func digests(mem *vm.Memory) []Digest {
	if mem.Used() > maxDigest {
		return nil
	}
	var out []Digest
	for _, r := range mem.Regions() {
		switch r.Kind {
		case vm.RegionStack, vm.RegionMap, vm.RegionFunc:
			continue
		}
		out = append(out, Digest{mem.Symbolize(r.Base), r.Base, maphash.Bytes(hashSeed, mem.Raw(r.Base, r.Size))})
	}
	return out
}

// newRun takes what the runtime gave.
func newRun(r *scenario.ProgRun) Run {
	run := Run{
		Program: r.Program, Event: r.Event, R0: r.R0, Insns: r.Insns, Trap: r.Raw.Trap,
		Packet: r.Raw.Packet, Ctx: r.Raw.Ctx, Trace: r.Trace,
	}
	for _, rec := range r.Raw.Records {
		run.Records = append(run.Records, Record(runtime.Record(rec)))
	}
	return run
}

// mapStates takes a snapshot.
func mapStates(s scenario.Snapshot) []MapState {
	var out []MapState
	for _, m := range s {
		if scenario.HoldsData(m.Spec.Type) { // numbers of objects differ from kernel to kernel
			out = append(out, MapState{m.Spec, m.Elems})
		}
	}
	return out
}
