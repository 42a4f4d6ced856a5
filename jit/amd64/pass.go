package amd64

import (
	"fmt"
	"strings"
)

// Pass is a set of the ways in which the compiler makes code better than one
// translation an instruction. Each can be left out, to see what it does.
type Pass uint32

// The passes.
const (
	// PassProven leaves out the checks of accesses that are proven (vm.Code.Facts).
	PassProven Pass = 1 << iota
	// PassKnown leaves out truncations of addresses of which machine code itself
	// guarantees that they are small enough (known.go), and the checks of what it
	// knows to be in the frame.
	PassKnown
	// PassInline does well-known helpers in machine code (plan.go).
	PassInline
	// PassDead leaves out what nobody reads (live.go).
	PassDead
	// PassJoin makes one x86 instruction of a copy and what is done to it (join.go).
	PassJoin
	// PassRotate finds rotations (rotate.go).
	PassRotate

	// AllPasses is what programs are compiled with.
	AllPasses Pass = 1<<iota - 1
)

// passInfo describes one pass.
type passInfo struct {
	name, what string
}

var passes = []passInfo{
	{"proven", "no permission check where the verifier has proven the access"},
	{"known", "no truncation of addresses that are known to be small enough"},
	{"inline", "array lookups and bpf_get_smp_processor_id in machine code"},
	{"dead", "registers that nobody reads are not computed"},
	{"join", "a copy and an addition to it become LEA, a copy and a mask MOVZX"},
	{"rotate", "two shifts and what puts their results together become ROL"},
}

// Passes lists the names of the passes with what they do, in the order in which
// [ParsePasses] knows them.
func Passes() [][2]string {
	var out [][2]string
	for _, p := range passes {
		out = append(out, [2]string{p.name, p.what})
	}
	return out
}

// String returns the names, "none" for the empty set and "all" for the full one.
func (p Pass) String() string {
	switch p {
	case 0:
		return "none"
	case AllPasses:
		return "all"
	}
	var names []string
	for i := range passes {
		if p&(1<<i) != 0 {
			names = append(names, passes[i].name)
		}
	}
	return strings.Join(names, ",")
}

// ParsePasses reads a list of names with commas between them. "all" and "none" are
// sets too, and a minus before a name takes it away: "all,-proven".
func ParsePasses(list string) (Pass, error) {
	var set Pass
	for name := range strings.SplitSeq(list, ",") {
		name, minus := strings.CutPrefix(strings.TrimSpace(name), "-")
		p, ok := passByName(name)
		switch {
		case !ok:
			return 0, fmt.Errorf("no pass is called %q", name)
		case minus:
			set &^= p
		default:
			set |= p
		}
	}
	return set, nil
}

func passByName(name string) (Pass, bool) {
	switch name {
	case "all":
		return AllPasses, true
	case "none":
		return 0, true
	}
	for i := range passes {
		if passes[i].name == name {
			return 1 << i, true
		}
	}
	return 0, false
}
