package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func cmdExplain() *command {
	return &command{
		name: "explain", args: "[TOPIC..]", short: "look up opcodes, helpers, types of maps, limits, errors",
		long: "Explains one word of the eBPF world, offline: an opcode by name or number, an instruction " +
			"in assembly or as hex bytes, a helper or kfunc, a map type, a program or attach type, a section name, a " +
			"context and its fields, a limit, an errno. Without a topic it lists the groups; a group's name lists " +
			"what is in it. GROUP:NAME says which is meant where a word is in several groups.",
		examples: []example{
			{"bpfvm explain bpf_map_update_elem", "a helper"},
			{"bpfvm explain 'w1 s/= w2'", "an instruction"},
			{"bpfvm explain kprobe/vfs_read xdp_md EINVAL", "a section name, a context, an error"},
		},
		seeAlso: []string{"help", "disasm", "asm"},
		wants:   argCount{0, anyNumber}, json: true, pager: true,
		setup: func(a *app, c *cobra.Command) func([]string) error {
			c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
				var out []cobra.Completion
				for _, g := range groups() {
					out = append(out, cobra.CompletionWithDesc(g.name, g.what))
					for _, t := range g.topics() {
						out = append(out, cobra.CompletionWithDesc(t.Name, t.Title))
					}
				}
				return out, cobra.ShellCompDirectiveNoFileComp
			}
			return a.explain
		},
	}
}

// topic is one thing that can be explained.
type topic struct {
	Group string   `json:"group"`
	Name  string   `json:"name"`
	Title string   `json:"title"` // one line
	Facts []fact   `json:"facts"`
	Code  []string `json:"code,omitempty"` // shown as it is
	Text  string   `json:"text"`

	aliases []string
}

type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// add appends a fact unless it is empty.
func (t *topic) add(name, value string) {
	if value != "" {
		t.Facts = append(t.Facts, fact{name, value})
	}
}

// group is a set of topics.
type group struct {
	name, what string
	topics     func() []topic
}

func groups() []group {
	return []group{
		{"opcodes", "instructions of RFC 9669 and what Linux adds", opcodeTopics},
		{"helpers", "functions of the kernel that programs call by number", helperTopics},
		{"kfuncs", "functions of the kernel that programs call by name and BTF", kfuncTopics},
		{"maps", "map types", mapTopics},
		{"programs", "program types", programTopics},
		{"attach", "attach types", attachTopics},
		{"sections", "section names and what they choose", sectionTopics},
		{"contexts", "what r1 points to, field by field", contextTopics},
		{"verifier", "codes of the verifier's refusals", verifierTopics},
		{"limits", "sizes and counts of Linux " + targetKernel, limitTopics},
		{"errno", "error numbers that helpers and maps return", errnoTopics},
		{"formats", "what run reads: event scripts, packets, map files", formatTopics},
		{"exits", "exit codes of bpfvm", exitTopics},
		{"schema", "JSON documents of bpfvm", schemaTopics},
	}
}

// explainDoc is the document of "explain".
type explainDoc struct {
	docHead
	Groups []groupEntry `json:"groups"`
	Topics []topic      `json:"topics"`
}

type groupEntry struct {
	Name   string   `json:"name"`
	What   string   `json:"what"`
	Topics []string `json:"topics"`
}

func (a *app) explain(args []string) error {
	doc := explainDoc{docHead: head("explain"), Groups: []groupEntry{}, Topics: []topic{}}
	if len(args) == 0 {
		for _, g := range groups() {
			doc.Groups = append(doc.Groups, listGroup(g))
		}
		a.next = "bpfvm explain helpers"
	}
	for i, arg := range args {
		if g, ok := groupByName(arg); ok {
			doc.Groups = append(doc.Groups, listGroup(g))
			continue
		}
		found, err := findTopics(arg)
		if err != nil {
			// "bpfvm explain r0 = 1" without quotes is one instruction.
			if t, ok := instructionTopic(strings.Join(args[i:], " ")); ok && len(args)-i > 1 {
				doc.Topics = append(doc.Topics, t)
				break
			}
			return err
		}
		doc.Topics = append(doc.Topics, found...)
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
		return nil
	}
	a.writeExplain(doc, len(args) == 0)
	return nil
}

func groupByName(word string) (group, bool) {
	for _, g := range groups() {
		if g.name == word || strings.TrimSuffix(g.name, "s") == word && g.name != "maps" {
			return g, true
		}
	}
	return group{}, false
}

func listGroup(g group) groupEntry {
	e := groupEntry{Name: g.name, What: g.what, Topics: []string{}}
	for _, t := range g.topics() {
		e.Topics = append(e.Topics, t.Name)
	}
	return e
}

// findTopics returns all topics of that name, from every group.
func findTopics(word string) ([]topic, error) {
	only, name := "", word
	if g, rest, ok := strings.Cut(word, ":"); ok {
		if gr, found := groupByName(g); found {
			only, name = gr.name, rest
		}
	}
	var found []topic
	var names []string
	for _, g := range groups() {
		if only != "" && g.name != only {
			continue
		}
		for _, t := range g.topics() {
			if strings.EqualFold(t.Name, name) || slices.ContainsFunc(t.aliases, func(s string) bool { return strings.EqualFold(s, name) }) {
				found = append(found, t)
			}
			names = append(names, t.Name)
			names = append(names, t.aliases...)
		}
	}
	for i, t := range found {
		if t.Group == "contexts" && t.Facts == nil { // laid out when asked for
			found[i], _ = fieldTopic(t.Name)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	if only == "" || only == "contexts" {
		if t, ok := fieldTopic(name); ok {
			return []topic{t}, nil
		}
		ctx, _, _ := strings.Cut(name, ".")
		if fields := fieldNames(ctx); len(fields) > 0 && ctx != name {
			return nil, usageErr("nothing is known about %q%s", word, didYouMean(name, fields))
		}
	}
	if only == "" || only == "sections" {
		if t, ok := sectionNameTopic(name); ok {
			return []topic{t}, nil
		}
	}
	if only == "" || only == "opcodes" {
		if t, ok := instructionTopic(name); ok {
			return []topic{t}, nil
		}
	}
	for _, g := range groups() {
		names = append(names, g.name)
	}
	return nil, usageErr("nothing is known about %q%s", word, didYouMean(name, names))
}

func (a *app) writeExplain(d explainDoc, overview bool) {
	w, s := a.out, a.style
	if overview {
		t := newTable("GROUP", ">TOPICS", "WHAT")
		t.paint(0, s.name)
		for _, g := range d.Groups {
			t.add(g.Name, len(g.Topics), g.What)
		}
		t.write(w, a, "")
		return
	}
	for i, g := range d.Groups {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s - %s\n\n", s.head(g.Name), g.What)
		a.writeColumns(w, g.Topics)
	}
	for i, t := range d.Topics {
		if i > 0 || len(d.Groups) > 0 {
			fmt.Fprintln(w)
		}
		a.writeTopic(w, t)
	}
}

// writeColumns prints words in as many columns as fit.
func (a *app) writeColumns(w io.Writer, words []string) {
	widest := 0
	for _, n := range words {
		widest = max(widest, len(n))
	}
	cols := max((helpWidth+2)/(widest+2), 1)
	if a.flags.plain {
		cols = 1
	}
	rows := (len(words) + cols - 1) / cols
	for r := range rows {
		var line strings.Builder
		for c := range cols {
			if i := c*rows + r; i < len(words) {
				fmt.Fprintf(&line, "%-*s  ", widest, words[i])
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func (a *app) writeTopic(w io.Writer, t topic) {
	s := a.style
	if t.Group == "formats" {
		fmt.Fprintf(w, "%s\n\n%s\n", s.head(t.Title), strings.Join(t.Code, "\n"))
		return
	}
	fmt.Fprintf(w, "%s  %s\n", s.head(t.Name), s.dim(strings.TrimSuffix(t.Group, "s")))
	if t.Title != "" && t.Title != t.Text {
		fmt.Fprint(w, wrap(t.Title, helpWidth, "  "))
	}
	if t.Text != "" {
		fmt.Fprintln(w)
		fmt.Fprint(w, wrap(t.Text, helpWidth, "  "))
	}
	if len(t.Facts) > 0 {
		fmt.Fprintln(w)
		width := 0
		for _, f := range t.Facts {
			width = max(width, len(f.Name))
		}
		for _, f := range t.Facts {
			text := wrap(f.Value, helpWidth-width-4, "")
			for i, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
				label := f.Name
				if i > 0 {
					label = ""
				}
				fmt.Fprintf(w, "  %s%s  %s\n", s.name(label), strings.Repeat(" ", width-len(label)), l)
			}
		}
	}
	if len(t.Code) > 0 {
		fmt.Fprintln(w)
		for _, l := range t.Code {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
}
