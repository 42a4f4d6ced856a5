package cli

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

func helperTopics() []topic {
	var out []topic
	runs := map[string]bool{}
	for _, t := range runtime.ProgTypes() {
		for _, name := range runtime.Helpers(t) {
			runs[name] = true
		}
	}
	for _, h := range spec.Helpers() {
		t := topic{Group: "helpers", Name: h.Name, Text: h.Doc, Title: h.Signature}
		t.add("number", fmt.Sprint(int32(h.ID)))
		t.add("since", "Linux "+h.Since)
		if h.GPLOnly {
			t.add("license", "GPL-compatible programs only")
		}
		if h.ChangesPacket {
			t.add("packet", "pointers into the packet taken before the call are dead after it")
		}
		if h.Acquires {
			t.add("reference", "the result must be released")
		}
		if h.Releases {
			t.add("reference", "releases the one passed")
		}
		t.add("for", programNames(h.Types()))
		t.add("bpfvm", runsHere(runs[h.Name], "programs that call it"))
		t.aliases = []string{strings.TrimPrefix(h.Name, "bpf_"), fmt.Sprintf("#%d", int32(h.ID)), fmt.Sprintf("helper#%d", int32(h.ID)),
			"BPF_FUNC_" + strings.TrimPrefix(h.Name, "bpf_")}
		out = append(out, t)
	}
	return out
}

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
		t.add("flags", m.Flags)
		t.add("source", m.Source)
		t.add("bpfvm", runsHere(slices.Contains(runtime.MapTypes(), m.Type), "objects with such a map"))
		t.aliases = []string{m.Kernel}
		out = append(out, t)
	}
	return out
}

func programTopics() []topic {
	var out []topic
	for _, p := range spec.ProgTypes()[1:] {
		t := topic{Group: "programs", Name: p.Name, Title: p.Kernel, Text: p.Doc}
		t.add("number", fmt.Sprint(uint32(p.Type)))
		t.add("since", "Linux "+p.Since)
		t.add("context", p.Ctx)
		t.add("returns", p.Returns)
		t.add("bpfvm", runsHere(slices.Contains(runtime.ProgTypes(), p.Type), "them"))
		var rets []string
		for _, r := range p.Rets {
			rets = append(rets, fmt.Sprintf("%d %s", r.Value, r.Name))
		}
		t.add("values", strings.Join(rets, ", "))
		t.add("sections", strings.Join(sectionsOf(p.Type), ", "))
		if p.PrivateStack {
			t.add("stack", "512 bytes for each frame")
		} else {
			t.add("stack", "512 bytes for all frames of a call chain")
		}
		switch p.TestRun {
		case "data", "ctx":
			t.add("test run", "takes a "+map[string]string{"data": "packet", "ctx": "context"}[p.TestRun])
		default:
			t.add("test run", p.TestRun)
		}
		t.aliases = []string{p.Kernel}
		out = append(out, t)
	}
	return out
}

func sectionsOf(p spec.ProgType) []string {
	var out []string
	for _, s := range spec.Sections() {
		if s.Type == p && !s.Classic {
			out = append(out, s.String())
		}
	}
	return out
}

func sectionTopics() []topic {
	var out []topic
	for _, s := range spec.Sections() {
		out = append(out, ruleTopic(s))
	}
	return out
}

func ruleTopic(s spec.SectionRule) topic {
	t := topic{Group: "sections", Name: s.String(), Title: "section of programs of type " + s.Type.String()}
	t.add("program", s.Type.String())
	if s.Attach != 0 {
		t.add("attach type", s.Attach.String())
	}
	switch s.Match {
	case spec.MatchExactOrPrefix:
		t.add("pattern", fmt.Sprintf("%q alone or %q and what it attaches to", s.Pattern, s.Pattern+"/"))
	case spec.MatchPrefix:
		t.add("pattern", fmt.Sprintf("%q and what it attaches to", s.Pattern))
	case spec.MatchClassic:
		t.add("pattern", fmt.Sprintf("any name that begins with %q", s.Pattern))
	}
	var marks []string
	for _, m := range []struct {
		on   bool
		text string
	}{
		{s.Sleepable, "may sleep"}, {s.Frags, "packets in several fragments"}, {s.NeedsBTF, "needs the BTF id of its target"},
		{s.Multi, "many functions at once"}, {s.Session, "entry and return"}, {s.USDT, "user-space static probe"},
	} {
		if m.on {
			marks = append(marks, m.text)
		}
	}
	t.add("marks", strings.Join(marks, ", "))
	if s.Classic {
		t.add("loader", "the classic one of samples/bpf only")
	}
	t.add("kernel", s.Hook)
	if !s.Classic {
		t.aliases = []string{s.Pattern}
	}
	return t
}

// sectionNameTopic explains a whole section name: "kprobe/vfs_read".
func sectionNameTopic(name string) (topic, bool) {
	rule, to, ok := spec.MatchSection(name)
	if !ok {
		return topic{}, false
	}
	t := ruleTopic(rule)
	t.Facts = append([]fact{{"section", name}}, t.Facts...)
	if to != "" {
		t.add("attaches to", to)
	}
	return t, true
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
		"the metadata before the packet", "a kernel pointer"}[f.Kind])
	if f.ReadBy != nil {
		t.add("read by", programNames(f.ReadBy))
	}
	switch {
	case !f.Write:
		t.add("written by", "nobody")
	case f.WriteBy != nil:
		t.add("written by", programNames(f.WriteBy))
	default:
		t.add("written by", "every program that has it")
	}
	return t, true
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
