package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PageKind says what a page is about.
type PageKind string

// Kinds of pages, in the order in which Explain tries them.
const (
	PageHelper     PageKind = "helper"
	PageKfunc      PageKind = "kfunc"
	PageMapType    PageKind = "map"
	PageProgType   PageKind = "program"
	PageCtx        PageKind = "context"
	PageSection    PageKind = "section"
	PageAttachType PageKind = "attach"
	PageLimit      PageKind = "limit"
	PageErrno      PageKind = "errno"
	PageTracepoint PageKind = "tracepoint"
)

// Page explains one thing of the tables. It is content, not layout: facts are
// short pairs, Body is prose, Tables are rows with a head.
type Page struct {
	Kind   PageKind
	Name   string // the thing's own name: "bpf_map_lookup_elem"
	Title  string // one line: "helper bpf_map_lookup_elem (number 1)"
	Facts  []Fact
	Body   string
	Tables []Table
	See    []string // topics that belong to it
}

// Fact is a line of a page: "since" "4.1".
type Fact struct{ Key, Value string }

// Table is a table of a page; every row is as long as Head.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
}

// explainer makes the pages of one kind.
type explainer struct {
	kind    PageKind
	explain func(topic string) (Page, bool)
	names   func() []string // the topics that have a page
}

var explainers = []explainer{
	{PageHelper, explainHelper, func() []string { return namesOf(helpers[:], func(h *HelperProto) string { return h.Name }) }},
	{PageKfunc, explainKfunc, func() []string { return namesOf(kfuncs[:], func(k *Kfunc) string { return k.Name }) }},
	{PageMapType, explainMapType, func() []string { return namesOf(mapTypes[1:], func(m *MapTypeInfo) string { return m.Name }) }},
	{PageProgType, explainProgType, func() []string { return namesOf(progTypes[1:], func(p *ProgTypeInfo) string { return p.Name }) }},
	{PageCtx, explainCtx, func() []string { return namesOf(ctxLayouts[:], func(c *CtxLayout) string { return c.Name }) }},
	{PageSection, explainSection, func() []string { return namesOf(sections[:], func(r *SectionRule) string { return r.Pattern }) }},
	{PageAttachType, explainAttachType, func() []string { return namesOf(attachTypes[:], func(a *AttachTypeInfo) string { return a.Kernel }) }},
	{PageLimit, explainLimit, func() []string { return namesOf(limits[:], func(l *Limit) string { return l.Name }) }},
	{PageErrno, explainErrno, func() []string { return namesOf(errnos[:], func(e *ErrnoInfo) string { return e.Name }) }},
	{PageTracepoint, explainTracepoint, Tracepoints},
}

func namesOf[T any](table []T, name func(*T) string) []string {
	out := make([]string, len(table))
	for i := range table {
		out[i] = name(&table[i])
	}
	return out
}

// Explain returns the page about a topic: a helper or kfunc (with or without
// "bpf_"), a map type, a program type, a context, a section name as it stands in SEC(),
// an attach type, a limit (our name or the kernel's symbol), an errno (name or
// number) or a trace event. Case does not matter. Where a word means several
// things, "kind:word" chooses one ("program:xdp", "section:xdp"); without it the
// first in the order above wins and its See names the others.
func Explain(topic string) (Page, bool) {
	pages := ExplainAll(topic)
	if len(pages) == 0 {
		return Page{}, false
	}
	first := pages[0]
	first.See = slices.Clone(first.See)
	for _, p := range pages[1:] {
		first.See = append(first.See, string(p.Kind)+":"+p.Name)
	}
	return first, true
}

// ExplainAll returns every page about a topic.
func ExplainAll(topic string) []Page {
	topic = strings.TrimSpace(topic)
	kind, word, found := strings.Cut(topic, ":")
	if !found || !slices.ContainsFunc(explainers, func(e explainer) bool { return e.kind == PageKind(kind) }) {
		kind, word = "", topic
	}
	var pages []Page
	for _, e := range explainers {
		if kind != "" && PageKind(kind) != e.kind {
			continue
		}
		p, ok := e.explain(word)
		if !ok {
			continue
		}
		// The classic loader compared prefixes only, so that "xdp_md" would be a
		// section name too; that is worth a page for lack of anything better.
		if r, _, _ := MatchSection(word); e.kind == PageSection && r.Match == MatchClassic && len(pages) > 0 {
			continue
		}
		p.Kind = e.kind
		pages = append(pages, p)
	}
	return pages
}

// Topics returns every name that has a page, by kind.
func Topics() map[PageKind][]string {
	out := make(map[PageKind][]string, len(explainers))
	for _, e := range explainers {
		out[e.kind] = e.names()
	}
	return out
}

func explainHelper(topic string) (Page, bool) {
	h := HelperByName(strings.ToLower(topic))
	if h == nil {
		return Page{}, false
	}
	p := Page{
		Name:  h.Name,
		Title: fmt.Sprintf("helper %s (number %d)", h.Name, h.ID),
		Body:  h.Doc,
		Facts: []Fact{{"signature", h.Signature}, {"since", h.Since}},
	}
	yes := func(key string, is bool, value string) {
		if is {
			p.Facts = append(p.Facts, Fact{key, value})
		}
	}
	yes("license", h.GPLOnly, "GPL-compatible programs only")
	yes("packet", h.ChangesPacket, "pointers into the packet are dead after the call")
	yes("reference", h.Acquires, "the result must be released")
	yes("reference", h.Releases, "ends the reference that it is given")
	yes("context", h.MightSleep, "sleepable programs only")
	args := Table{Title: "arguments", Head: []string{"register", "kind"}}
	for i, a := range h.Args[:h.NumArgs()] {
		args.Rows = append(args.Rows, []string{"r" + strconv.Itoa(i+1), a.String()})
	}
	args.Rows = append(args.Rows, []string{"r0", h.Ret.String()})
	p.Tables = append(p.Tables, args)
	var types []string
	for _, t := range h.Types() {
		types = append(types, t.String())
	}
	p.Facts = append(p.Facts, Fact{"programs", strings.Join(types, " ")})
	return p, true
}

func explainMapType(topic string) (Page, bool) {
	t, ok := MapTypeByName(strings.ToLower(topic))
	if !ok {
		t, ok = MapTypeByName(strings.ToUpper(topic))
	}
	if !ok || t == MapUnspec {
		return Page{}, false
	}
	m := t.Info()
	p := Page{
		Name:  m.Name,
		Title: fmt.Sprintf("map type %s (%s, number %d)", m.Name, m.Kernel, m.Type),
		Body:  m.Doc,
		Facts: []Fact{{"since", m.Since}, {"key", m.Key}, {"value", m.Value}, {"max_entries", m.Entries}},
	}
	if m.Flags != "" {
		p.Facts = append(p.Facts, Fact{"flags", m.Flags})
	}
	p.Facts = append(p.Facts, Fact{"checked in", m.Source})
	return p, true
}

func explainProgType(topic string) (Page, bool) {
	t, ok := ProgTypeByName(strings.ToLower(topic))
	if !ok {
		t, ok = ProgTypeByName(strings.ToUpper(topic))
	}
	if !ok || t == ProgUnspec {
		return Page{}, false
	}
	info := t.Info()
	p := Page{
		Name:  info.Name,
		Title: fmt.Sprintf("program type %s (%s, number %d)", info.Name, info.Kernel, info.Type),
		Body:  info.Doc,
		Facts: []Fact{{"since", info.Since}, {"returns", info.Returns}},
	}
	stack := "512 bytes for all frames together"
	if info.PrivateStack {
		stack = "512 bytes for each frame where the JIT gives private stacks, else for all frames together"
	}
	p.Facts = append(p.Facts, Fact{"stack", stack})
	switch info.TestRun {
	case "data":
		p.Facts = append(p.Facts, Fact{"test run", "with a packet"})
	case "ctx":
		p.Facts = append(p.Facts, Fact{"test run", "with a context only"})
	default:
		p.Facts = append(p.Facts, Fact{"test run", "no: " + info.TestRun})
	}
	if info.Ctx != "" {
		p.Facts = append(p.Facts, Fact{"context", info.Ctx})
		p.See = append(p.See, info.Ctx)
	}
	if len(info.Rets) > 0 {
		rets := Table{Title: "return values", Head: []string{"value", "name"}}
		for _, r := range info.Rets {
			rets.Rows = append(rets.Rows, []string{strconv.Itoa(int(r.Value)), r.Name})
		}
		p.Tables = append(p.Tables, rets)
	}
	secs := Table{Title: "sections", Head: []string{"pattern", "attached by"}}
	for i := range sections {
		if r := &sections[i]; r.Type == t {
			secs.Rows = append(secs.Rows, []string{r.String(), r.Hook})
		}
	}
	if len(secs.Rows) > 0 {
		p.Tables = append(p.Tables, secs)
	}
	return p, true
}

func explainCtx(topic string) (Page, bool) {
	i := slices.IndexFunc(ctxLayouts[:], func(c CtxLayout) bool { return strings.EqualFold(c.Name, topic) })
	if i < 0 {
		return Page{}, false
	}
	return ctxPage(&ctxLayouts[i]), true
}

func explainTracepoint(topic string) (Page, bool) {
	if !strings.Contains(topic, "/") {
		return Page{}, false
	}
	c := Tracepoint(topic)
	if c == nil {
		return Page{}, false
	}
	p := ctxPage(c)
	p.Title = "trace event " + c.Name
	return p, true
}

func ctxPage(c *CtxLayout) Page {
	p := Page{
		Name:  c.Name,
		Title: "context " + c.Name,
		Body:  c.Doc,
		Facts: []Fact{{"access rules", c.Source}},
	}
	if c.Size > 0 {
		p.Facts = append(p.Facts, Fact{"size", strconv.FormatUint(uint64(c.Size), 10) + " bytes"})
	}
	for i := range progTypes {
		if progTypes[i].Ctx == c.Name {
			p.See = append(p.See, progTypes[i].Name)
		}
	}
	fields := Table{Title: "fields", Head: []string{"offset", "size", "type", "name", "access", ""}}
	for i := range c.Fields {
		f := &c.Fields[i]
		fields.Rows = append(fields.Rows, []string{
			strconv.FormatUint(uint64(f.Off), 10), strconv.FormatUint(uint64(f.Size), 10), f.CType, f.Name, f.accessText(), f.Doc,
		})
	}
	p.Tables = append(p.Tables, fields)
	if len(c.Aliases) > 0 {
		aliases := Table{Title: "other names", Head: []string{"name", "field"}}
		for _, a := range c.Aliases {
			aliases.Rows = append(aliases.Rows, []string{a.Name, a.Field})
		}
		p.Tables = append(p.Tables, aliases)
	}
	return p
}

// accessText says in a few words who may read and write a field.
func (f *CtxField) accessText() string {
	names := func(verb string, types []ProgType) string {
		if types == nil {
			return verb
		}
		var words []string
		for _, t := range types {
			words = append(words, t.String())
		}
		return verb + " (" + strings.Join(words, " ") + ")"
	}
	var parts []string
	if f.ReadBy == nil || len(f.ReadBy) > 0 {
		parts = append(parts, names("read", f.ReadBy))
	}
	if f.Write {
		parts = append(parts, names("write", f.WriteBy))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func explainSection(topic string) (Page, bool) {
	r, to, ok := MatchSection(topic)
	if !ok {
		return Page{}, false
	}
	p := Page{
		Name:  topic,
		Title: "section " + topic,
		Body:  "Programs in it have the type " + r.Type.String() + ".",
		Facts: []Fact{{"rule", r.String()}, {"program type", r.Type.String()}},
		See:   []string{"program:" + r.Type.String()},
	}
	if r.Attach != 0 || r.Type == ProgCgroupSKB {
		p.Facts = append(p.Facts, Fact{"attach type", attachTypes[r.Attach].Kernel})
	}
	if to != "" {
		p.Facts = append(p.Facts, Fact{"attach to", to})
	}
	if r.Hook != "" {
		p.Facts = append(p.Facts, Fact{"attached by", r.Hook})
	}
	for _, f := range []struct {
		is   bool
		text string
	}{
		{r.Sleepable, "sleepable"}, {r.Frags, "frames in fragments"}, {r.NeedsBTF, "needs the BTF id of its target"},
		{r.Multi, "many targets by pattern"}, {r.Session, "entry and return in one program"}, {r.USDT, "static probe of a program"},
		{r.Classic, "a name of the classic loader; libbpf refuses it"},
	} {
		if f.is {
			p.Facts = append(p.Facts, Fact{"note", f.text})
		}
	}
	return p, true
}

func explainAttachType(topic string) (Page, bool) {
	a, ok := AttachTypeByName(strings.ToLower(topic))
	if !ok {
		a, ok = AttachTypeByName(strings.ToUpper(topic))
	}
	if !ok {
		return Page{}, false
	}
	info := &attachTypes[a]
	return Page{
		Name:  info.Kernel,
		Title: fmt.Sprintf("attach type %s (number %d)", info.Kernel, info.Type),
		Body:  "A place that programs of type " + info.Prog.String() + " attach to.",
		See:   []string{"program:" + info.Prog.String()},
	}, true
}

func explainLimit(topic string) (Page, bool) {
	i := slices.IndexFunc(limits[:], func(l Limit) bool { return strings.EqualFold(l.Name, topic) || strings.EqualFold(l.Kernel, topic) })
	if i < 0 {
		return Page{}, false
	}
	l := &limits[i]
	return Page{
		Name:  l.Name,
		Title: fmt.Sprintf("limit %s = %d %s", l.Name, l.Value, l.Unit),
		Body:  l.Doc,
		Facts: []Fact{{"kernel", l.Kernel}, {"defined in", l.Source}},
	}, true
}

func explainErrno(topic string) (Page, bool) {
	word := strings.TrimPrefix(strings.ToUpper(topic), "-")
	i := slices.IndexFunc(errnos[:], func(e ErrnoInfo) bool { return e.Name == word || strconv.Itoa(int(e.Errno)) == word })
	if i < 0 {
		return Page{}, false
	}
	e := &errnos[i]
	return Page{Name: e.Name, Title: fmt.Sprintf("error %s (number %d)", e.Name, int(e.Errno)), Body: e.Doc}, true
}

// String returns the page as plain text without line wrapping.
func (p Page) String() string {
	var b strings.Builder
	b.WriteString(p.Title + "\n\n" + p.Body + "\n")
	if len(p.Facts) > 0 {
		b.WriteByte('\n')
	}
	for _, f := range p.Facts {
		fmt.Fprintf(&b, "  %-12s %s\n", f.Key, f.Value)
	}
	for _, t := range p.Tables {
		b.WriteString("\n" + t.Title + "\n")
		width := make([]int, len(t.Head))
		for _, row := range append([][]string{t.Head}, t.Rows...) {
			for i, cell := range row {
				width[i] = max(width[i], len(cell))
			}
		}
		for _, row := range append([][]string{t.Head}, t.Rows...) {
			var line strings.Builder
			line.WriteString(" ")
			for i, cell := range row {
				line.WriteString(fmt.Sprintf(" %-*s", width[i], cell))
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	if len(p.See) > 0 {
		b.WriteString("\nsee " + strings.Join(p.See, ", ") + "\n")
	}
	return b.String()
}
