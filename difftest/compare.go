package difftest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"bpfvm/scenario"
	"bpfvm/vm"
)

// Difference is one way in which two outcomes differ.
type Difference struct {
	Run  int    `json:"run"`  // index of the run, -1 for what is compared at the end
	What string `json:"what"` // "r0", "insns", "trap", "packet", "ctx", "trace", "records", "memory", "map", "runs", "verdict", "lost"
	Name string `json:"name"` // the program, map or region
	A    string `json:"a"`    // what the first engine has
	B    string `json:"b"`
}

// String is the difference in a few words: "r0: 0x1 / 0x2".
func (d *Difference) String() string {
	s := d.What
	if d.What == "map" || d.What == "memory" {
		s += " " + d.Name
	}
	if d.Run > 0 {
		s = fmt.Sprintf("run %d: %s", d.Run+1, s)
	}
	return fmt.Sprintf("%s: %s / %s", s, d.A, d.B)
}

// maxDifferences bounds the list for one pair of outcomes.
const maxDifferences = 16

// Compare lists how b differs from a, as far as both know. It gives up after a
// handful: what follows a difference differs too.
func Compare(a, b *Outcome) []Difference {
	c := &comparer{knows: a.Knows & b.Knows}
	if len(a.Runs) != len(b.Runs) {
		c.add(-1, "runs", "", fmt.Sprint(len(a.Runs)), fmt.Sprint(len(b.Runs)))
		return c.list
	}
	for i := range a.Runs {
		c.run(i, &a.Runs[i], &b.Runs[i])
		if len(c.list) > 0 {
			break // the runs that follow start from different maps
		}
	}
	c.maps(a.Maps, b.Maps)
	return c.list
}

type comparer struct {
	knows Knows
	list  []Difference
}

func (c *comparer) add(run int, what, name, a, b string) {
	if len(c.list) < maxDifferences {
		c.list = append(c.list, Difference{run, what, name, a, b})
	}
}

// run compares two runs of a program.
func (c *comparer) run(i int, a, b *Run) {
	if a.Program != b.Program {
		c.add(i, "runs", a.Program, a.Program, b.Program)
		return
	}
	add := func(what, x, y string) {
		if x != y {
			c.add(i, what, a.Program, x, y)
		}
	}
	// The kernel has no traps: what its verifier lets pass does not fault.
	add("trap", trapText(a.Trap), trapText(b.Trap))
	if a.Trap == nil && b.Trap == nil {
		if c.knows&KnowsR0 != 0 {
			add("r0", fmt.Sprintf("%#x", a.R0), fmt.Sprintf("%#x", b.R0))
		} else {
			add("r0", fmt.Sprintf("%#x", uint32(a.R0)), fmt.Sprintf("%#x", uint32(b.R0)))
		}
	}
	if c.knows&KnowsInsns != 0 {
		add("insns", fmt.Sprint(a.Insns), fmt.Sprint(b.Insns))
	}
	c.bytes(i, "packet", a.Program, a.Packet, b.Packet)
	if c.knows&KnowsCtx != 0 {
		c.bytes(i, "ctx", a.Program, a.Ctx, b.Ctx)
	}
	if c.knows&KnowsTrace != 0 {
		add("trace", strings.Join(a.Trace, "\n"), strings.Join(b.Trace, "\n"))
	}
	add("records", c.records(a.Records), c.records(b.Records))
	if c.knows&KnowsMemory != 0 && !slices.Equal(a.Memory, b.Memory) {
		c.memory(i, a.Memory, b.Memory)
	}
}

// bytes reports the first byte at which two byte strings differ.
func (c *comparer) bytes(i int, what, name string, a, b []byte) {
	if bytes.Equal(a, b) {
		return
	}
	x, y := firstDifference(a, b)
	c.add(i, what, name, x, y)
}

// firstDifference shows up to 8 bytes from the first that differ on.
func firstDifference(a, b []byte) (x, y string) {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	show := func(s []byte) string {
		part := s[min(n, len(s)):min(n+8, len(s))]
		return fmt.Sprintf("%d bytes, +%d %s", len(s), n, hex.EncodeToString(part))
	}
	return show(a), show(b)
}

func (c *comparer) memory(i int, a, b []Digest) {
	for n := range min(len(a), len(b)) {
		if a[n] != b[n] {
			c.add(i, "memory", a[n].Region, fmt.Sprintf("digest %016x", a[n].Sum), fmt.Sprintf("digest %016x", b[n].Sum))
			return
		}
	}
	c.add(i, "memory", "regions", fmt.Sprint(len(a)), fmt.Sprint(len(b)))
}

// records prints records without what an engine does not know.
func (c *comparer) records(rs []Record) string {
	var b strings.Builder
	for _, r := range rs {
		if c.knows&KnowsTime != 0 {
			fmt.Fprintf(&b, "@%d cpu %d ", r.Time, r.CPU)
		}
		fmt.Fprintf(&b, "%s %x\n", r.Map, r.Data)
	}
	return b.String()
}

// maps compares the contents of maps at the end.
func (c *comparer) maps(a, b []MapState) {
	for i := range a {
		at := slices.IndexFunc(b, func(m MapState) bool { return m.Spec.Name == a[i].Spec.Name })
		if at < 0 {
			continue // an engine that cannot read the map
		}
		c.elems(a[i].Spec.Name, a[i].Elems, b[at].Elems)
	}
}

// elems compares elements by key.
func (c *comparer) elems(name string, a, b []scenario.Elem) {
	other := make(map[string][]byte, len(b))
	for _, e := range b {
		other[string(e.Key)] = e.Value
	}
	for _, e := range a {
		v, ok := other[string(e.Key)]
		delete(other, string(e.Key))
		switch {
		case !ok:
			c.add(-1, "map", fmt.Sprintf("%s[%x]", name, e.Key), fmt.Sprintf("%x", e.Value), "no element")
		case !bytes.Equal(e.Value, v):
			x, y := firstDifference(e.Value, v)
			c.add(-1, "map", fmt.Sprintf("%s[%x]", name, e.Key), x, y)
		}
	}
	for _, e := range b {
		if v, ok := other[string(e.Key)]; ok {
			c.add(-1, "map", fmt.Sprintf("%s[%x]", name, e.Key), "no element", fmt.Sprintf("%x", v))
		}
	}
}

// trapText is all of a trap that engines must agree on. They need not use the same
// words: the step loop knows where a bad pointer came from and which argument of a
// helper was wrong.
func trapText(t *vm.Trap) string {
	if t == nil {
		return "none"
	}
	fn := t.Prog
	if t.Func != "" {
		fn += "/" + t.Func
	}
	s := fmt.Sprintf("%s at %s slot %d, frame %d, after %d insns", t.Kind, fn, t.PC, t.Frame, t.Insns)
	if t.Kind == vm.TrapMemory {
		s += fmt.Sprintf(": %s of %d bytes at %#x", map[bool]string{false: "read", true: "write"}[t.Write], t.Size, t.Addr)
	}
	return s
}
