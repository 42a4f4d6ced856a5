package cli

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

func programTopics() []topic {
	var out []topic
	for _, p := range spec.ProgTypes()[1:] {
		t := topic{Group: "programs", Name: p.Name, Title: p.Kernel, Text: p.Doc}
		t.add("number", fmt.Sprint(uint32(p.Type)))
		t.add("since", "Linux "+p.Since)
		t.add("context", p.Ctx)
		t.add("needs", capNames(p.Caps))
		t.add("packet", p.Packet.String())
		t.add("sleepable", sleepText(&p))
		t.add("returns", p.Returns)
		t.add("bpfvm", runsHere(slices.Contains(runtime.ProgTypes(), p.Type), "them"))
		var rets []string
		for _, r := range p.Rets {
			rets = append(rets, fmt.Sprintf("%d %s", r.Value, r.Name))
		}
		t.add("values", strings.Join(rets, ", "))
		t.add("sections", strings.Join(sectionsOf(p.Type), ", "))
		t.add("attach types", attachText(&p))
		t.add("helpers", callable(p.Type))
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

// capNames lists capabilities; none means that everyone may, where the system lets
// everyone load programs at all.
func capNames(caps []spec.Cap) string {
	if len(caps) == 0 {
		return "no capability where kernel.unprivileged_bpf_disabled is 0, else CAP_BPF"
	}
	words := make([]string, len(caps))
	for i, c := range caps {
		words[i] = c.String()
	}
	return strings.Join(words, ", ")
}

func sleepText(p *spec.ProgTypeInfo) string {
	switch p.Sleepable {
	case spec.SleepSome:
		return "attached as " + attachNames(p.SleepableAt)
	case spec.SleepAny:
		return "where what they are attached to allows it"
	case spec.SleepAlways:
		return "always"
	}
	return "never"
}

func attachText(p *spec.ProgTypeInfo) string {
	names := attachNames(attachTypesOf(p.Type))
	if names != "" && p.AttachChecked {
		names += "; one of them must be given at load"
	}
	return names
}

func attachTypesOf(p spec.ProgType) []spec.AttachType {
	var out []spec.AttachType
	for _, a := range spec.AttachTypes() {
		if a.Prog == p {
			out = append(out, a.Type)
		}
	}
	return out
}

// callable counts what programs of the type may call.
func callable(p spec.ProgType) string {
	helpers, kfuncs := 0, 0
	for _, h := range spec.Helpers() {
		if spec.HelperAllowed(p, h.ID) {
			helpers++
		}
	}
	for i := range spec.Kfuncs() {
		if slices.Contains(spec.Kfuncs()[i].Types(), p) {
			kfuncs++
		}
	}
	if p == spec.ProgExt {
		return "those of the program that it replaces a function of"
	}
	return fmt.Sprintf("%d, and %d kfuncs", helpers, kfuncs)
}

func attachTopics() []topic {
	var out []topic
	for _, a := range spec.AttachTypes() {
		t := topic{Group: "attach", Name: a.Kernel, Title: "attach type of " + a.Prog.String() + " programs"}
		t.add("number", fmt.Sprint(uint32(a.Type)))
		t.add("program", a.Prog.String())
		var sections []string
		for _, s := range spec.Sections() {
			if s.Type == a.Prog && s.Attach == a.Type && !s.Classic {
				sections = append(sections, s.String())
			}
		}
		t.add("sections", strings.Join(sections, ", "))
		if spec.CanSleep(a.Prog, a.Type) {
			t.add("sleepable", "may be")
		}
		t.add("helpers", onlyHere(a))
		t.add("fields", fieldsOnlyHere(a))
		t.aliases = []string{a.Name}
		if a.Name == a.Prog.String() { // the program type has that word
			t.aliases = nil
		}
		out = append(out, t)
	}
	return out
}

// onlyHere lists the helpers of which not all attach types of the program type may
// call them, and this one may.
func onlyHere(a spec.AttachTypeInfo) string {
	var out []string
	for _, h := range spec.Helpers() {
		for _, r := range h.Attach {
			if r.Type == a.Prog && slices.Contains(r.Attach, a.Type) {
				out = append(out, h.Name)
			}
		}
	}
	return orNone("not in all attach types of the program type: ", strings.Join(out, ", "))
}

// fieldsOnlyHere lists fields of the context in the same way.
func fieldsOnlyHere(a spec.AttachTypeInfo) string {
	c := a.Prog.Ctx()
	if c == nil {
		return ""
	}
	var out []string
	for i := range c.Fields {
		for _, r := range c.Fields[i].Attach {
			if r.Type == a.Prog && slices.Contains(r.Attach, a.Type) {
				out = append(out, c.Fields[i].Name)
			}
		}
	}
	return orNone("not in all attach types of the program type: ", strings.Join(out, ", "))
}
