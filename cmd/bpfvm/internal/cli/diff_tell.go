package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"bpfvm/difftest"
)

// save writes the case of a mismatch to a file.
func (d *differ) save(m *difftest.Mismatch) error {
	text, err := m.Repro().Format()
	if err != nil {
		d.a.warn("%s cannot be saved: %v", m.Name, err)
		return nil
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\: `, r) {
			return '-'
		}
		return r
	}, m.Name)
	path := filepath.Join(d.f.save, name+".txtar")
	if err := d.a.writeFile(path, text); err != nil {
		return err
	}
	m.File = display(path)
	return nil
}

// tell writes a mismatch.
func (d *differ) tell(m *difftest.Mismatch) {
	s := d.a.style
	fmt.Fprintf(d.a.out, "%s %s / %s\n", s.bad("#"+m.Name), m.Engines[0], m.Engines[1])
	for _, x := range m.Differences {
		fmt.Fprintf(d.a.out, "  %s\n", x.String())
	}
	for _, u := range m.Unsound {
		fmt.Fprintf(d.a.out, "  unsound: %s\n", u.String())
	}
	switch {
	case len(m.Unsound) > 0:
	case m.First != nil:
		fmt.Fprintf(d.a.out, "  first differing step %s\n", m.First)
		for _, x := range m.First.State {
			fmt.Fprintf(d.a.out, "    %s\n", x)
		}
	default:
		fmt.Fprintf(d.a.out, "  step not found: %s\n", m.NotLocated)
	}
	if m.Shrunk > 0 {
		fmt.Fprintf(d.a.out, "  shrunk %d -> %s\n", m.Insns, plural(m.Shrunk, "slot"))
	}
	if m.File != "" {
		fmt.Fprintf(d.a.out, "  saved %s    replay: bpfvm diff %s\n", m.File, m.File)
	}
}

// tellMasked writes the differences that have a good reason, those of many programs
// for the same reason once.
func (d *differ) tellMasked() {
	type group struct {
		first difftest.Masked
		count int
	}
	var groups []*group
	byReason := map[string]*group{}
	for _, m := range d.doc.Masked {
		key := m.Engine + ": " + strings.Join(m.Because, ", ")
		g := byReason[key]
		if g == nil {
			g = &group{first: m}
			byReason[key] = g
			groups = append(groups, g)
		}
		g.count++
	}
	for _, g := range groups {
		name := g.first.Name
		if g.count > 1 {
			name = fmt.Sprintf("%d programs (first: %s)", g.count, name)
		}
		fmt.Fprintf(d.a.out, "expected %s on %s: depends on %s\n", name, g.first.Engine, strings.Join(g.first.Because, ", "))
	}
}
