package cli

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// runsHere says whether bpfvm's own kernel has a thing, or what it refuses.
func runsHere(yes bool, what string) string {
	if yes {
		return "runs it"
	}
	return "refuses to run " + what + ", by name"
}

// programNames lists program types, or says that it is nearly all of them.
func programNames(types []spec.ProgType) string {
	all := len(spec.ProgTypes())
	if len(types) > all-4 {
		return "programs of every type"
	}
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = t.String()
	}
	return strings.Join(words, ", ")
}

func mapTopics() []topic {
	var out []topic
	for _, m := range spec.MapTypes()[1:] {
		t := topic{Group: "maps", Name: m.Name, Title: m.Kernel, Text: m.Doc}
		t.add("number", fmt.Sprint(uint32(m.Type)))
		t.add("since", "Linux "+m.Since)
		t.add("key", m.Key)
		t.add("value", m.Value)
		t.add("max_entries", m.Entries)
		t.add("flags", strings.ReplaceAll(m.Flags.String(), "|", ", "))
		if m.Must != 0 {
			t.add("required", strings.ReplaceAll(m.Must.String(), "|", ", "))
		}
		t.add("types", [...]string{"none", "BTF of key and value, or none", "BTF of the value, or none", "BTF of key and value is required"}[m.BTF])
		t.add("helpers", orNone("only ", strings.Join(m.Helpers, ", ")))
		t.add("source", m.Source)
		t.add("bpfvm", runsHere(slices.Contains(runtime.MapTypes(), m.Type), "objects with such a map"))
		t.aliases = []string{m.Kernel}
		out = append(out, t)
	}
	return out
}

func contextTopics() []topic {
	var out []topic
	for _, c := range spec.CtxLayouts() {
		out = append(out, ctxTopic(&c))
	}
	for _, name := range spec.Tracepoints() {
		// Six hundred records are laid out only when one is asked for.
		out = append(out, topic{Group: "contexts", Name: name, Title: "record of a trace event"})
	}
	return out
}

func ctxTopic(c *spec.CtxLayout) topic {
	t := topic{Group: "contexts", Name: c.Name, Title: "struct " + c.Name, Text: c.Doc}
	if strings.Contains(c.Name, "/") {
		t.Title = "trace event"
	}
	if c.Size > 0 {
		t.add("size", plural(int(c.Size), "byte"))
	}
	t.add("source", c.Source)
	var users []string
	for _, p := range spec.ProgTypes() {
		if p.Ctx == c.Name {
			users = append(users, p.Name)
		}
	}
	t.add("programs", strings.Join(users, ", "))
	widest := 0
	for _, f := range c.Fields {
		widest = max(widest, len(f.CType))
	}
	for _, f := range c.Fields {
		mark := "  "
		if f.Write {
			mark = "rw"
		}
		t.Code = append(t.Code, strings.TrimRight(fmt.Sprintf("%4d %4d  %s  %-*s  %s", f.Off, f.Size, mark, min(widest, 24), f.CType, f.Name), " "))
	}
	if len(t.Code) > 0 {
		t.Code = append([]string{" off size"}, t.Code...)
	}
	return t
}

// fieldTopic explains one field, "xdp_md.data_end", or the record of a trace
// event by its whole name.
func fieldTopic(name string) (topic, bool) {
	if c := spec.CtxByName(name); c != nil {
		return ctxTopic(c), true
	}
	ctx, field, ok := strings.Cut(name, ".")
	if !ok {
		return topic{}, false
	}
	c := spec.CtxByName(ctx)
	if c == nil {
		return topic{}, false
	}
	f := c.Field(field)
	if f == nil {
		return topic{}, false
	}
	t := topic{Group: "contexts", Name: name, Title: f.CType + " " + f.Name, Text: f.Doc}
	t.add("offset", fmt.Sprint(f.Off))
	t.add("size", plural(int(f.Size), "byte"))
	t.add("gives", [...]string{"a number", "the packet's first byte", "the first byte after the packet",
		"the metadata before the packet", f.Pointer.String() + orNone(": struct ", f.Struct)}[f.Kind])
	t.add("loads", loadSizes(f))
	if f.ReadBy != nil {
		t.add("read by", orNone("", programNames(f.ReadBy)))
	}
	switch {
	case !f.Write:
		t.add("written by", "nobody")
	case f.WriteBy != nil:
		t.add("written by", programNames(f.WriteBy))
	default:
		t.add("written by", "every program that has it")
	}
	for _, a := range f.Attach {
		what := "read and written"
		switch {
		case !a.Write || !f.Write:
			what = "read"
		case !a.Read:
			what = "written"
		}
		t.add("attached as", fmt.Sprintf("%s in %s only when attached as %s", what, a.Type, attachNames(a.Attach)))
	}
	return t, true
}

// fieldNames lists the fields of a context as they are asked for: "xdp_md.data".
func fieldNames(ctx string) []string {
	c := spec.CtxByName(ctx)
	if c == nil {
		return nil
	}
	var out []string
	for i := range c.Fields {
		out = append(out, c.Name+"."+c.Fields[i].Name)
	}
	for _, a := range c.Aliases {
		out = append(out, c.Name+"."+a.Name)
	}
	return out
}

// loadSizes says which loads of a field the verifier takes.
func loadSizes(f *spec.CtxField) string {
	s := plural(int(f.ElemSize()), "byte") + " at a time"
	switch {
	case f.Narrow:
		s += ", and smaller ones in it"
	case f.NarrowStart:
		s += ", and smaller ones at its first byte"
	case f.Half:
		s += ", and 2 bytes"
	}
	if f.Wide {
		s += "; 8 bytes where aligned"
	}
	return s
}

func limitTopics() []topic {
	var out []topic
	for _, l := range spec.Limits() {
		name := l.Kernel
		if strings.ContainsAny(name, " ,") {
			name = l.Name
		}
		t := topic{Group: "limits", Name: name, Title: fmt.Sprintf("%d %s", l.Value, l.Unit), Text: l.Doc}
		t.add("kernel", l.Kernel)
		t.add("source", l.Source)
		t.aliases = []string{l.Name}
		out = append(out, t)
	}
	return out
}

func errnoTopics() []topic {
	var out []topic
	for _, e := range spec.Errnos() {
		t := topic{Group: "errno", Name: e.Name, Title: fmt.Sprintf("errno %d", int32(e.Errno)), Text: e.Doc}
		t.add("in r0", fmt.Sprintf("%d, %#x", -int32(e.Errno), e.Errno.Ret()))
		t.aliases = []string{fmt.Sprint(-int32(e.Errno)), "-" + e.Name, fmt.Sprintf("errno%d", int32(e.Errno)), fmt.Sprint(int32(e.Errno)), fmt.Sprintf("%#x", e.Errno.Ret())}
		out = append(out, t)
	}
	return out
}
