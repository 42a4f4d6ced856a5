package judge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Explained is why two slots differ although both are right.
type Explained string

// What the libraries do differently by design.
const (
	PoisonShape  Explained = "a poisoned lddw is two calls here, as with libbpf, and an lddw of the number there"
	MissingType  Explained = "size or id of a type that the target lacks: 0 here, as with libbpf, poisoned there"
	BehindPtr    Explained = "type_matches behind a pointer, where libbpf compares names only and cilium/ebpf members"
	LayoutLater  Explained = "place in .kconfig, which cilium/ebpf lays out by another rule"
	KernelLater  Explained = "marked as a kernel symbol here; cilium/ebpf does so when it loads the program"
	AddrSpace    Explained = "offset of an address space cast, which cilium/ebpf drops"
	KfuncFlavour Explained = "flavour of a kernel function, whose suffix cilium/ebpf keeps until it loads"
)

// ProgramResult is what comparing one program gave.
type ProgramResult struct {
	Slots     int
	Explained map[Explained]int // slots
	// Diffs are the differences that no reason is known for; empty when the
	// program is the same.
	Diffs []string
}

// maxDiffs bounds the differences listed for one program.
const maxDiffs = 8

// Program compares one program. The error is cilium/ebpf's: it could not link the
// program, so that there is nothing to compare with.
func Program(ours *spec.ProgramSpec, theirs *ebpf.ProgramSpec, local, target *btf.Spec) (ProgramResult, error) {
	res := ProgramResult{Slots: len(ours.Insns), Explained: make(map[Explained]int)}
	want, err := theirFunctions(theirs, local, target)
	if err != nil {
		return res, err
	}
	diff := func(format string, args ...any) {
		if len(res.Diffs) < maxDiffs {
			res.Diffs = append(res.Diffs, fmt.Sprintf(format, args...))
		}
	}
	if ours.Section != theirs.SectionName {
		diff("section %q, cilium/ebpf: %q", ours.Section, theirs.SectionName)
	}
	compareAttach(ours, theirs, diff)
	got := ourFunctions(ours)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[name]; !ok {
			diff("function %s is only in cilium/ebpf's", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		a, b := got[name], want[name]
		if len(a) != len(b) {
			diff("function %s has %d slots, cilium/ebpf: %d", name, len(a), len(b))
			continue
		}
		for i := range a {
			why, same := compareSlots(a[i], b[i])
			switch {
			case same:
			case why != "":
				res.Explained[why]++
			default:
				diff("function %s slot %d: %v, cilium/ebpf: %v", name, i, a[i], b[i])
			}
		}
	}
	return res, nil
}

// compareAttach compares what the section's name chose. Classic names are matched
// by prefix there and by a table here.
func compareAttach(ours *spec.ProgramSpec, theirs *ebpf.ProgramSpec, diff func(string, ...any)) {
	rule, _, ok := spec.MatchSection(ours.Section)
	if !ok || rule.Match == spec.MatchClassic {
		return
	}
	to, want := ours.AttachTo, theirs.AttachTo
	switch {
	case rule.Match != spec.MatchExactOrPrefix:
		to = want
	case rule.Type == spec.ProgStructOps:
		// STRUCT:MEMBER, with the flavour of the structure there and without it here.
		_, to, _ = strings.Cut(to, ":")
		_, want, _ = strings.Cut(want, ":")
	}
	if uint32(ours.Type) != uint32(theirs.Type) || uint32(ours.Attach) != uint32(theirs.AttachType) || to != want || ours.Flags != theirs.Flags {
		diff("type %v attach %d to %q flags %#x; cilium/ebpf: %v, %d to %q flags %#x", ours.Type, uint32(ours.Attach), ours.AttachTo, ours.Flags,
			theirs.Type, uint32(theirs.AttachType), theirs.AttachTo, theirs.Flags)
	}
}

// compareSlots reports whether two slots are the same, and if not, whether a
// reason for it is known.
func compareSlots(a, b slot) (why Explained, same bool) {
	if a.Instruction == b.Instruction && a.ref == b.ref {
		return "", true
	}
	switch {
	case a.poisoned && b.poisoned:
		return PoisonShape, false
	case b.poisoned && isTypeValue(a.core):
		return MissingType, false
	case b.poisoned && a.second && a.Instruction == (isa.Instruction{}): // of such a wide value
		return MissingType, false
	case a.core != nil && a.core.Kind == "type_matches" && a.Imm == 1 && b.Imm == 0:
		if a.Imm = 0; a.Instruction == b.Instruction {
			return BehindPtr, false
		}
		return "", false
	case a.ref == kconfig && b.ref == kconfig:
		return LayoutLater, false
	case !sameName(a.ref, b.ref):
		return "", false
	}
	if a.kernel {
		a.Instruction, b.Instruction = a.WithSrc(0), b.WithSrc(0)
		if a.Instruction == b.Instruction {
			if a.ref == b.ref {
				return KernelLater, false
			}
			return KfuncFlavour, false
		}
	}
	if a.Op == 0xbf && a.Off == 1 && b.Off == 0 {
		if a.Off = 0; a.Instruction == b.Instruction {
			return AddrSpace, false
		}
	}
	return "", false
}

// isTypeValue reports whether the relocation's value is one of a type that the
// target does not have, and which libbpf lets read as 0.
func isTypeValue(c *spec.CoreReloc) bool {
	if c == nil || c.Poison || c.After != 0 {
		return false
	}
	return c.Kind == "type_size" || c.Kind == "target_type_id"
}
