package elf

import (
	"strings"

	"bpfvm/spec"
)

// matchSection sets type and attach point of a program from its section's name.
func matchSection(p *spec.ProgramSpec) {
	name := strings.TrimPrefix(p.Section, "?")
	head, rest, _ := strings.Cut(name, "/")
	switch head {
	case "kprobe", "kretprobe", "uprobe", "uretprobe":
		p.Type = spec.ProgKprobe
	case "tracepoint", "tp":
		p.Type = spec.ProgTracepoint
	case "raw_tracepoint", "raw_tp":
		p.Type = spec.ProgRawTracepoint
	case "xdp":
		p.Type = spec.ProgXDP
	case "tc", "classifier":
		p.Type = spec.ProgSchedCls
	case "socket":
		p.Type = spec.ProgSocketFilter
	}
	p.AttachTo = rest
}
