package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bpfvm/spec"
)

// runArray is what is attached to one hook, in the order of attaching (struct
// bpf_prog_array).
type runArray struct {
	links []*Link
}

// Link is one attachment.
type Link struct {
	rt     *Runtime
	prog   *Program
	target string
	seq    uint64 // counts attachments
	// Cookie is what bpf_get_attach_cookie gives the program.
	Cookie uint64
}

// Program is what is attached.
func (l *Link) Program() *Program { return l.prog }

// Target is where: "kprobe:do_unlinkat".
func (l *Link) Target() string { return l.target }

// ErrNoHook is the cause when a target's first word is no hook.
var ErrNoHook = errors.New("no such hook")

func hookKind(target string) (string, error) {
	kind, _, _ := strings.Cut(target, ":")
	if _, ok := hookKinds[kind]; !ok {
		return "", fmt.Errorf("%q: %w", target, ErrNoHook)
	}
	return kind, nil
}

// Attach adds the program to a hook; an empty target is the program's own
// ([Program.Target]). Targets of kprobes may be patterns with * and ?, as those of
// kprobe.multi are: the program runs for each function that fits. Some hooks hold one
// program, such as XDP's and a socket's: a second one is EBUSY.
func (rt *Runtime) Attach(p *Program, target string) (*Link, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if target == "" {
		target = p.Target()
	}
	fail := func(err error) (*Link, error) { return nil, fmt.Errorf("attach %s: %w", p.Name(), err) }
	kind, err := hookKind(target)
	if err != nil {
		return fail(err)
	}
	if !slices.Contains(hookKinds[kind].types, p.Type()) {
		return fail(fmt.Errorf("%s: a program of type %s: %w", target, p.Type(), spec.EINVAL))
	}
	a := rt.arrays[target]
	if a == nil {
		a = &runArray{}
		rt.arrays[target] = a
	}
	if len(a.links) > 0 && hookKinds[kind].combine == theOne {
		return fail(fmt.Errorf("%s: %s is attached already: %w", target, a.links[0].prog.Name(), spec.EBUSY))
	}
	rt.links++
	l := &Link{rt: rt, prog: p, target: target, seq: rt.links}
	a.links = append(a.links, l)
	return l, nil
}

// Detach ends the attachment; doing it twice does nothing.
func (l *Link) Detach() {
	l.rt.mu.Lock()
	defer l.rt.mu.Unlock()
	if a := l.rt.arrays[l.target]; a != nil {
		a.links = slices.DeleteFunc(a.links, func(o *Link) bool { return o == l })
	}
}

// Attached returns the attachments of a hook in the order in which they run.
func (rt *Runtime) Attached(target string) []*Link {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return slices.Clone(rt.linksAt(target))
}

// linksAt returns what runs when something happens at a target, in the order of
// attaching. A tracepoint has one array for programs that know the types of its
// arguments and for those that do not (kernel/trace/bpf_trace.c,
// bpf_probe_register).
func (rt *Runtime) linksAt(target string) []*Link {
	kind, name, _ := strings.Cut(target, ":")
	other := map[string]string{"raw_tracepoint": "tp_btf", "tp_btf": "raw_tracepoint"}[kind]
	links := rt.arrayAt(target)
	if other == "" {
		return links
	}
	if more := rt.arrayAt(other + ":" + name); len(more) > 0 {
		links = append(slices.Clip(links), more...)
		slices.SortFunc(links, func(a, b *Link) int { return cmp.Compare(a.seq, b.seq) })
	}
	return links
}

// arrayAt returns what is attached to a target and to patterns that it fits.
func (rt *Runtime) arrayAt(target string) []*Link {
	var links []*Link
	if a := rt.arrays[target]; a != nil {
		links = a.links
	}
	own := len(links)
	for pattern, a := range rt.arrays {
		if pattern != target && strings.ContainsAny(pattern, "*?") && globMatch(pattern, target) {
			links = append(slices.Clip(links), a.links...)
		}
	}
	if len(links) > own {
		slices.SortFunc(links, func(a, b *Link) int { return cmp.Compare(a.seq, b.seq) })
	}
	return links
}

// globMatch compares as libbpf does (tools/lib/bpf/libbpf.c, glob_match): * is any
// text, ? any character.
func globMatch(pattern, s string) bool {
	// On a mismatch the last star takes one character more.
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
