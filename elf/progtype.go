package elf

import "bpfvm/spec"

// Flags of BPF_PROG_LOAD that a section's name asks for (include/uapi/linux/bpf.h).
const (
	progSleepable = 1 << 4 // BPF_F_SLEEPABLE: "fentry.s/..."
	progXDPFrags  = 1 << 5 // BPF_F_XDP_HAS_FRAGS: "xdp.frags"
)

// matchSection sets type and attach point of a program from its section's name. A
// name that no rule knows leaves the type unspecified: whoever loads the program
// has to say it.
func matchSection(p *spec.ProgramSpec) {
	rule, attachTo, ok := spec.MatchSection(p.Section)
	if !ok {
		return
	}
	p.Type, p.Attach, p.AttachTo = rule.Type, rule.Attach, attachTo
	if p.Type == spec.ProgStructOps {
		p.AttachTo = "" // its map says what it is for; the name after the slash is free
	}
	if rule.Sleepable {
		p.Flags |= progSleepable
	}
	if rule.Frags {
		p.Flags |= progXDPFrags
	}
}
