package objects

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
)

// Strictness says how alike two builds of an object must be.
type Strictness int

// Strictnesses, by what is known of the compilers.
const (
	// SameInterface: the functions and map definitions have the same names in
	// the same sections. Code may differ.
	SameInterface Strictness = iota
	// SameContent: every section has the same header and bytes, every symbol
	// the same place.
	SameContent
)

// Compare lists the differences between two builds of an object, sorted by what
// they are about. Nil means that the builds agree.
func Compare(a, b *elf.File, s Strictness) ([]string, error) {
	symsA, errA := symbols(a, s)
	symsB, errB := symbols(b, s)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	diffs := diffKeys("symbol", symsA, symsB)
	if s == SameContent {
		more, err := compareSections(a, b)
		if err != nil {
			return nil, err
		}
		diffs = append(diffs, more...)
	}
	slices.Sort(diffs)
	return diffs, nil
}

// symbols returns the symbols as a set of lines, with the detail that s asks for.
func symbols(f *elf.File, s Strictness) (map[string]bool, error) {
	syms, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("symbol table: %w", err)
	}
	set := make(map[string]bool)
	for _, sym := range syms {
		typ := elf.ST_TYPE(sym.Info)
		section := sym.Section.String()
		if i := int(sym.Section); i < len(f.Sections) {
			section = f.Sections[i].Name
		}
		switch {
		case s == SameContent:
			set[fmt.Sprintf("%s %s in %s at %d, %d bytes", typ, sym.Name, section, sym.Value, sym.Size)] = true
		case elf.ST_BIND(sym.Info) == elf.STB_GLOBAL:
			set[fmt.Sprintf("%s %s in %s", typ, sym.Name, section)] = true
		}
	}
	return set, nil
}

func compareSections(a, b *elf.File) ([]string, error) {
	secA, secB := byName(a), byName(b)
	diffs := diffKeys("section", secA, secB)
	for name, sa := range secA {
		sb := secB[name]
		if sb == nil {
			continue
		}
		if sa.Type != sb.Type || sa.Flags != sb.Flags || sa.Size != sb.Size || sa.Entsize != sb.Entsize {
			diffs = append(diffs, fmt.Sprintf("section %s: type %v flags %v size %d, then type %v flags %v size %d",
				name, sa.Type, sa.Flags, sa.Size, sb.Type, sb.Flags, sb.Size))
			continue
		}
		if sa.Type == elf.SHT_NOBITS || sa.Type == elf.SHT_NULL {
			continue
		}
		da, errA := sa.Data()
		db, errB := sb.Data()
		if err := errors.Join(errA, errB); err != nil {
			return nil, fmt.Errorf("section %s: %w", name, err)
		}
		if at := firstDifference(da, db); at >= 0 {
			diffs = append(diffs, fmt.Sprintf("section %s: differs from byte %d on (slot %d)", name, at, at/8))
		}
	}
	return diffs, nil
}

func byName(f *elf.File) map[string]*elf.Section {
	m := make(map[string]*elf.Section)
	for _, s := range f.Sections {
		m[s.Name] = s
	}
	return m
}

// diffKeys lists the keys that only one of two maps has.
func diffKeys[V any](what string, a, b map[string]V) []string {
	var diffs []string
	for k := range a {
		if _, ok := b[k]; !ok {
			diffs = append(diffs, fmt.Sprintf("%s only in the first: %s", what, k))
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			diffs = append(diffs, fmt.Sprintf("%s only in the second: %s", what, k))
		}
	}
	return diffs
}

// firstDifference returns the first index where a and b differ, or -1.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
