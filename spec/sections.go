package spec

import "strings"

// SectionMatch is how the pattern of a section rule is compared (tools/lib/bpf,
// libbpf.c: sec_def_matches).
type SectionMatch uint8

// Ways to match a section name.
const (
	MatchExact         SectionMatch = iota // "xdp"
	MatchPrefix                            // "tc/": any name that begins with it, slash included
	MatchExactOrPrefix                     // "kprobe+": "kprobe" or "kprobe/..."
	MatchClassic                           // "socket*": any name that begins so, as bpf_load.c compared
)

// SectionRule is what a section name says about the program in it.
type SectionRule struct {
	Pattern string // without the mark that tells how it matches
	Match   SectionMatch
	Type    ProgType
	Attach  AttachType

	Sleepable      bool // BPF_F_SLEEPABLE at load
	Frags          bool // BPF_F_XDP_HAS_FRAGS at load
	NeedsBTF       bool // loads against the BTF id of its target
	AttachRequired bool // the attach type must be given at load
	AttachOptional bool // given at load where the kernel knows it
	USDT           bool // user-space static probe: provider and name after the path
	Multi          bool // attaches to many functions at once, by pattern
	Session        bool // runs at entry and return, with a cookie between

	Classic bool   // a form of samples/bpf/bpf_load.c or another old loader; libbpf refuses it
	Hook    string // the kernel function that would attach it
}

// Return reports whether the rule is for the return from a function (kretprobe,
// uretprobe, fexit and their like).
func (r *SectionRule) Return() bool {
	return strings.HasPrefix(r.Pattern, "kret") || strings.HasPrefix(r.Pattern, "uret") || strings.HasPrefix(r.Pattern, "fexit")
}

// String returns the pattern with its mark, as libbpf writes it.
func (r *SectionRule) String() string {
	switch r.Match {
	case MatchExactOrPrefix:
		return r.Pattern + "+"
	case MatchClassic:
		return r.Pattern + "*"
	}
	return r.Pattern
}

// Sections returns the rules in the order in which they are tried. The slice is
// shared: do not change it.
func Sections() []SectionRule { return sections[:] }

// MatchSection finds what a section name means. attachTo is what follows the
// pattern and its slash: "kmem_cache_free" for "kprobe/kmem_cache_free",
// "syscalls/sys_enter_openat" for "tracepoint/syscalls/sys_enter_openat". A
// leading "?" (libbpf: do not load by default) is skipped. Names that no loader
// knows, "maps", "license" and ".text" among them, give false.
func MatchSection(name string) (rule SectionRule, attachTo string, ok bool) {
	name = strings.TrimPrefix(name, "?")
	for i := range sections {
		r := &sections[i]
		rest, found := strings.CutPrefix(name, r.Pattern)
		if !found {
			continue
		}
		switch r.Match {
		case MatchExact:
			if rest != "" {
				continue
			}
		case MatchExactOrPrefix:
			if rest != "" && rest[0] != '/' {
				continue
			}
		}
		return *r, strings.TrimPrefix(rest, "/"), true
	}
	return SectionRule{}, "", false
}
