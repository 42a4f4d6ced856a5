package spec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// AttachTarget is where a program would be attached, as its section's name says.
type AttachTarget struct {
	// Func is the function, system call, tracepoint, LSM hook, iterator, map member
	// or pattern of functions; empty where the section names none.
	Func     string
	Off      uint64 // kprobe, uprobe: bytes into the function
	Category string // tracepoint: the group, "syscalls"
	Path     string // uprobe, usdt: the program or library
	Provider string // usdt

	// Auto is set where libbpf attaches the program by its section's name alone
	// (libbpf.c, the attach functions of section_defs). Other programs wait for
	// something that only the user knows: an interface, a cgroup, a socket, a map.
	Auto bool
}

// ErrAttachTarget marks section names that libbpf accepts when it opens an object
// and refuses when it attaches the program.
var ErrAttachTarget = errors.New("the section names no place to attach to")

// Symbol returns the name of the kernel function that a system call is: its
// arguments come in a pt_regs there (x86: arch/x86/include/asm/syscall_wrapper.h).
func (t AttachTarget) Symbol(rule SectionRule) string {
	if strings.HasSuffix(rule.Pattern, "syscall") && strings.HasPrefix(rule.Pattern, "k") {
		return "__x64_sys_" + t.Func
	}
	return t.Func
}

// String writes the target as one reads it: "tracepoint syscalls:sys_enter_openat"
// without the first word.
func (t AttachTarget) String() string {
	var parts []string
	for _, p := range []string{t.Path, t.Provider, t.Category, t.Func} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	text := strings.Join(parts, ":")
	if t.Off > 0 {
		text += "+" + strconv.FormatUint(t.Off, 10)
	}
	return text
}

// Target takes what follows a section's pattern apart: "do_unlinkat+16" for
// kprobe, "/usr/lib/libc.so.6:malloc" for uprobe, "python:gc:start" for usdt,
// "sched/sched_switch" for tp. A name without anything behind the pattern is
// valid and attaches nowhere.
func (r *SectionRule) Target(attachTo string) (AttachTarget, error) {
	fault := func(format string, args ...any) (AttachTarget, error) {
		return AttachTarget{}, fmt.Errorf("%s/%s: %s: %w", r.Pattern, attachTo, fmt.Sprintf(format, args...), ErrAttachTarget)
	}
	if r.Match != MatchExactOrPrefix || r.Type == ProgStructOps {
		return AttachTarget{Func: attachTo}, nil
	}
	if attachTo == "" {
		return AttachTarget{}, nil
	}
	family := strings.TrimSuffix(r.Pattern, ".s")
	switch {
	case family == "lsm_cgroup":
		return AttachTarget{Func: attachTo}, nil // needs a cgroup
	case r.USDT:
		part := strings.Split(attachTo, ":")
		if len(part) != 3 || part[0] == "" || part[1] == "" || part[2] == "" {
			return fault("want PATH:PROVIDER:NAME")
		}
		return AttachTarget{Path: part[0], Provider: part[1], Func: part[2], Auto: true}, nil
	case strings.HasPrefix(family, "uprobe"), strings.HasPrefix(family, "uretprobe"):
		path, fn, ok := strings.Cut(attachTo, ":")
		if !ok || path == "" || fn == "" {
			return fault("want PATH:FUNCTION")
		}
		t := AttachTarget{Path: path, Func: fn, Auto: true}
		if !r.Multi {
			t.Func, t.Off = cutOffset(fn)
		}
		if r.Return() && t.Off != 0 {
			return fault("the return from a function has no offset")
		}
		return t, nil
	case family == "tp" || family == "tracepoint":
		group, name, ok := strings.Cut(attachTo, "/")
		if !ok || group == "" || name == "" {
			return fault("want CATEGORY/NAME")
		}
		return AttachTarget{Category: group, Func: name, Auto: true}, nil
	case family == "kprobe" || family == "kretprobe":
		t := AttachTarget{Auto: true}
		t.Func, t.Off = cutOffset(attachTo)
		if !onlyNamed(t.Func, "") {
			return fault("no name of a function")
		}
		if r.Return() && t.Off != 0 {
			return fault("the return from a function has no offset")
		}
		return t, nil
	case r.Multi && !onlyNamed(attachTo, "*?"):
		return fault("no pattern of functions")
	}
	return AttachTarget{Func: attachTo, Auto: true}, nil
}

// cutOffset splits "function+0x10". What is no number is part of the name: C++
// has operator+.
func cutOffset(s string) (string, uint64) {
	i := strings.LastIndexByte(s, '+')
	if i < 0 {
		return s, 0
	}
	n, err := strconv.ParseUint(s[i+1:], 0, 63)
	if err != nil {
		return s, 0
	}
	return s[:i], n
}

// onlyNamed reports whether a text has the characters of function names only, and
// those of extra.
func onlyNamed(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || strings.IndexByte(extra, c) >= 0) {
			return false
		}
	}
	return s != ""
}
