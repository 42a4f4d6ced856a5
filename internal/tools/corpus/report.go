package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"

	"bpfvm/elf"
	"bpfvm/internal/tools/corpus/judge"
)

// report adds the results up.
type report struct {
	verbose bool
	libbpf  string // what libbpf was asked with; empty if it was not

	objects, opened, cilium, byLibbpf int
	missed                            []string // opened by another library, not by bpfvm, for no reason with a name
	notOpened                         counts   // objects, by reason

	linked, same, slots int
	differ              []string
	maps                []string
	explained           map[judge.Explained]int
	unjudged            counts // programs, by reason
	refused             counts // parts of objects, by reason
	onlyThere           counts // programs that cilium/ebpf links, by reason
	only                int    // programs of objects that cilium/ebpf does not open
	compared            int
}

func newReport(verbose bool) *report {
	return &report{verbose: verbose, explained: make(map[judge.Explained]int),
		notOpened: counts{}, unjudged: counts{}, refused: counts{}, onlyThere: counts{}}
}

// add takes one object.
func (r *report) add(res result) {
	r.objects++
	if res.Err == nil {
		r.opened++
	} else {
		r.notOpened.add(reason(res.Err), res.Path)
	}
	if res.Theirs == nil {
		r.cilium++
	}
	if r.libbpf != "" && res.libbpf == nil {
		r.byLibbpf++
	}
	if res.Err != nil && !errors.Is(res.Err, errors.ErrUnsupported) && (res.Theirs == nil || r.libbpf != "" && res.libbpf == nil) {
		r.missed = append(r.missed, fmt.Sprintf("%s: %v", res.Path, res.Err))
	}
	r.linked += res.Linked
	r.same += res.Same
	r.slots += res.Slots
	r.compared += res.Same + len(res.Differ)
	if res.Theirs != nil {
		r.only += res.Linked
	}
	for why, n := range res.Explain {
		r.explained[why] += n
	}
	for _, name := range slices.Sorted(maps.Keys(res.Differ)) {
		for _, d := range res.Differ[name] {
			r.differ = append(r.differ, fmt.Sprintf("%s:%s: %s", res.Path, name, d))
		}
	}
	for _, d := range res.Maps {
		r.maps = append(r.maps, res.Path+": "+d)
	}
	for name, err := range res.Unjudged {
		r.unjudged.add(reason(err), res.Path+":"+name)
	}
	for name, err := range res.Only {
		r.onlyThere.add(reason(err), res.Path+":"+name)
	}
	for _, err := range res.Refused {
		r.refused.add(part(err)+": "+reason(err), fmt.Sprintf("%s: %v", res.Path, err))
	}
}

// good reports whether nothing is missing and nothing differs.
func (r *report) good() bool { return len(r.missed) == 0 && len(r.differ) == 0 && len(r.maps) == 0 }

func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "objects     %d\n", r.objects)
	fmt.Fprintf(w, "  opened    %d by bpfvm, %d by cilium/ebpf", r.opened, r.cilium)
	if r.libbpf != "" {
		fmt.Fprintf(w, ", %d by libbpf (%s)", r.byLibbpf, r.libbpf)
	}
	fmt.Fprintf(w, "\n  missed    %d that another library opens (not counting what is refused by name)\n", len(r.missed))
	r.lines(w, r.missed)
	if len(r.notOpened) > 0 {
		fmt.Fprintf(w, "  refused   %d, by reason:\n", r.objects-r.opened)
		r.notOpened.write(w, r.verbose)
	}
	fmt.Fprintf(w, "programs    %d linked\n", r.linked)
	fmt.Fprintf(w, "  compared  %d of %d slots: %d the same, %d differ\n", r.compared, r.slots, r.same, r.compared-r.same)
	r.lines(w, r.differ)
	fmt.Fprintf(w, "  maps      %d differences\n", len(r.maps))
	r.lines(w, r.maps)
	if len(r.explained) > 0 {
		fmt.Fprintf(w, "  slots that differ by design:\n")
		for _, why := range slices.SortedFunc(maps.Keys(r.explained), func(a, b judge.Explained) int {
			return cmp.Or(cmp.Compare(r.explained[b], r.explained[a]), cmp.Compare(a, b))
		}) {
			fmt.Fprintf(w, "  %8d  %s\n", r.explained[why], why)
		}
	}
	fmt.Fprintf(w, "  not compared: %d of objects that cilium/ebpf does not open, %d that it cannot relocate\n", r.only, r.unjudged.total())
	r.unjudged.write(w, r.verbose)
	fmt.Fprintf(w, "  refused here, linked by cilium/ebpf: %d\n", r.onlyThere.total())
	r.onlyThere.write(w, r.verbose)
	fmt.Fprintf(w, "parts of opened objects that bpfvm refuses: %d\n", r.refused.total())
	r.refused.write(w, r.verbose)
}

func (r *report) lines(w io.Writer, list []string) {
	for _, l := range list {
		fmt.Fprintf(w, "      %s\n", l)
	}
}

// counts are the things that share a reason.
type counts map[string][]string

func (c counts) add(reason, what string) { c[reason] = append(c[reason], what) }

func (c counts) total() int {
	n := 0
	for _, list := range c {
		n += len(list)
	}
	return n
}

// write lists the reasons, the most frequent first.
func (c counts) write(w io.Writer, verbose bool) {
	for _, why := range slices.SortedFunc(maps.Keys(c), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(c[b]), len(c[a])), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(w, "  %8d  %s\n", len(c[why]), why)
		if verbose {
			for _, what := range slices.Sorted(slices.Values(c[why])) {
				fmt.Fprintf(w, "            %s\n", what)
			}
		}
	}
}

// part says what of an object a refusal is about.
func part(err error) string {
	switch {
	case is[*elf.ProgramError](err):
		return "program"
	case is[*elf.MapError](err):
		return "map"
	case is[*elf.SectionError](err):
		return "section"
	}
	return "object"
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// reason is an error without what is special to the place: names and numbers.
func reason(err error) string {
	if pe, ok := errors.AsType[*elf.ProgramError](err); ok {
		err = pe.Err
	}
	if me, ok := errors.AsType[*elf.MapError](err); ok {
		err = me.Err
	}
	if se, ok := errors.AsType[*elf.SectionError](err); ok {
		err = se.Err
	}
	if list, ok := errors.AsType[elf.ErrorList](err); ok && len(list) > 0 {
		return reason(list[0])
	}
	text := quoted.ReplaceAllString(err.Error(), "…")
	return number.ReplaceAllString(text, "N")
}

var (
	quoted = regexp.MustCompile(`"[^"]*"`)
	number = regexp.MustCompile(`\b(0x)?[0-9a-f]*[0-9][0-9a-f]*\b`)
)
