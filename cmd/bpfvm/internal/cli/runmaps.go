package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// writeMaps prints what changed in each map, and with --dump all that is in it.
func (r *running) writeMaps() {
	var same []string
	for i := range r.doc.Maps {
		m := &r.doc.Maps[i]
		var changes []scenario.MapChange
		for _, c := range r.doc.Changes {
			if c.Map == m.Spec.Name {
				changes = append(changes, c)
			}
		}
		if len(changes) == 0 && !r.f.dumpAll {
			same = append(same, m.Spec.Name)
			continue
		}
		r.writeMap(m, changes)
	}
	if len(same) > 0 {
		fmt.Fprintf(r.a.out, "\n%s\n", r.a.style.dim("maps unchanged: "+strings.Join(same, ", ")))
	}
}

// writeMap prints one map.
func (r *running) writeMap(m *scenario.MapState, changes []scenario.MapChange) {
	r.title(m.Spec.Name, mapNote(m, r.before.Map(m.Spec.Name)))
	s, w := r.a.style, r.a.out
	var lines []changeLine
	for _, c := range changes {
		lines = append(lines, r.changeLines(m.Spec, c)...)
	}
	keyWidth := 0
	for _, l := range lines {
		keyWidth = max(keyWidth, utf8.RuneCountInString(l.key))
	}
	keyWidth = min(keyWidth, 32)
	for _, l := range lines {
		l.write(w, s, keyWidth)
	}
	if !r.f.dumpAll {
		return
	}
	for _, e := range m.Elems {
		if slices.ContainsFunc(changes, func(c scenario.MapChange) bool { return bytes.Equal(c.Key, e.Key) }) {
			continue
		}
		for _, v := range r.valueLines(m.Spec, r.keyText(m.Spec, e.Key), nil, e.Value) {
			v.mark = ' '
			v.write(w, s, keyWidth)
		}
	}
}

// mapNote says what kind of map it is and how full.
func mapNote(m, before *scenario.MapState) string {
	switch m.Spec.Type {
	case spec.MapHash, spec.MapPerCPUHash, spec.MapLRUHash, spec.MapLRUPerCPUHash, spec.MapLPMTrie,
		spec.MapHashOfMaps, spec.MapDevmapHash, spec.MapSockhash, spec.MapQueue, spec.MapStack, spec.MapStackTrace:
		note := fmt.Sprintf("%s, %d of %d elements", m.Spec.Type, len(m.Elems), m.Spec.MaxEntries)
		if before != nil && len(before.Elems) != len(m.Elems) {
			note += fmt.Sprintf(" (%d before)", len(before.Elems))
		}
		return note
	}
	return m.Spec.Type.String()
}

// changeLine is one element, or one variable of a data section.
type changeLine struct {
	mark          byte // '+', '-', '~'
	key           string
	before, after string
}

// write prints the line; a value that does not fit beside the old one goes below
// it.
func (l *changeLine) write(w io.Writer, s style, keyWidth int) {
	pad := strings.Repeat(" ", max(keyWidth-utf8.RuneCountInString(l.key), 0))
	var mark string
	switch l.mark {
	case '+':
		mark = s.good("+")
	case '-':
		mark = s.bad("-")
	case '~':
		mark = s.warn("~")
	default:
		mark = " "
	}
	switch l.mark {
	case '-':
		fmt.Fprintf(w, "  %s %s%s  %s\n", mark, s.name(l.key), pad, s.dim(l.before))
	case '~':
		if n := 6 + max(keyWidth, len(l.key)) + utf8.RuneCountInString(l.before+l.after) + 3; n > 80 {
			fmt.Fprintf(w, "  %s %s\n      %s\n    %s %s\n", mark, s.name(l.key), s.dim(l.before), s.arrow(), l.after)
			return
		}
		fmt.Fprintf(w, "  %s %s%s  %s %s %s\n", mark, s.name(l.key), pad, s.dim(l.before), s.arrow(), l.after)
	default:
		fmt.Fprintf(w, "  %s %s%s  %s\n", mark, s.name(l.key), pad, l.after)
	}
}

// changeLines describes one changed element.
func (r *running) changeLines(m *spec.MapSpec, c scenario.MapChange) []changeLine {
	return r.valueLines(m, r.keyText(m, c.Key), c.Before, c.After)
}

// valueLines describes a value before and after; nil is none.
func (r *running) valueLines(m *spec.MapSpec, key string, before, after []byte) []changeLine {
	if ds, ok := r.types.of(m.ValueTypeID).(*btf.Datasec); ok && len(before) == len(after) {
		return r.variableLines(ds, before, after)
	}
	l := changeLine{mark: '~', key: key}
	switch {
	case before == nil:
		l.mark = '+'
	case after == nil:
		l.mark = '-'
	}
	if m.Type.PerCPU() && len(before) == len(after) && r.rt != nil && r.rt.CPUs() > 1 {
		return r.perCPULines(m, l, before, after)
	}
	text := func(b []byte) string {
		if b == nil {
			return ""
		}
		return r.valueText(m, b)
	}
	l.before, l.after = text(before), text(after)
	return []changeLine{l}
}

// valueText prints a value: that of a map of programs or maps is a name.
func (r *running) valueText(m *spec.MapSpec, b []byte) string {
	if st := r.before.Map(m.Name); st != nil && !scenario.HoldsData(m.Type) {
		return printable(st.ValueText(b))
	}
	return r.types.text(m.ValueTypeID, b[:min(len(b), int(m.ValueSize))])
}

// perCPULines has a line for each CPU whose value changed.
func (r *running) perCPULines(m *spec.MapSpec, l changeLine, before, after []byte) []changeLine {
	stride := (int(m.ValueSize) + 7) &^ 7
	var out []changeLine
	for cpu := 0; (cpu+1)*stride <= len(after); cpu++ {
		x, y := before[cpu*stride:][:m.ValueSize], after[cpu*stride:][:m.ValueSize]
		if !bytes.Equal(x, y) {
			out = append(out, changeLine{l.mark, fmt.Sprintf("%s cpu%d", l.key, cpu), r.types.text(m.ValueTypeID, x), r.types.text(m.ValueTypeID, y)})
		}
	}
	return out
}

// variableLines has a line for each variable of a data section that changed.
func (r *running) variableLines(ds *btf.Datasec, before, after []byte) []changeLine {
	var out []changeLine
	for _, v := range ds.Vars {
		bv, ok := v.Type.(*btf.Var)
		if !ok || int(v.Offset)+int(v.Size) > len(after) {
			continue
		}
		x, y := before[v.Offset:][:v.Size], after[v.Offset:][:v.Size]
		if !bytes.Equal(x, y) {
			out = append(out, changeLine{'~', bv.Name, r.typeText(bv.Type, x), r.typeText(bv.Type, y)})
		}
	}
	return out
}

// typeText prints bytes of a type on one line.
func (r *running) typeText(t btf.Type, b []byte) string {
	s, err := types.Text(t, b)
	if err != nil {
		return types.TextRaw(b)
	}
	return printable(s)
}

// keyText prints a key; indices of arrays, and places in queues, stand in brackets.
func (r *running) keyText(m *spec.MapSpec, key []byte) string {
	text := r.types.text(m.KeyTypeID, key)
	switch m.Type {
	case spec.MapArray, spec.MapPerCPUArray, spec.MapProgArray, spec.MapArrayOfMaps, spec.MapCgroupArray, spec.MapDevmap,
		spec.MapCPUMap, spec.MapXSKMap, spec.MapSockmap, spec.MapReuseportSockarray, spec.MapQueue, spec.MapStack:
		return "[" + text + "]"
	}
	return text
}

// changeText is a change on one line, for --changes.
func (r *running) changeText(c scenario.MapChange) (name, text string) {
	m := r.coll.Map(c.Map)
	if m == nil {
		return c.Map, c.String()
	}
	var parts []string
	for _, l := range r.changeLines(m.Spec(), c) {
		switch l.mark {
		case '+':
			parts = append(parts, l.key+" "+l.after)
		case '-':
			parts = append(parts, l.key+" "+l.before)
		default:
			parts = append(parts, fmt.Sprintf("%s %s %s %s", l.key, l.before, r.a.style.arrow(), l.after))
		}
		name = string(l.mark) + " " + c.Map
	}
	return name, strings.Join(parts, ", ")
}
