package cli

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func cmdHelp() *command {
	return &command{
		name: "help", minor: true, args: "[VERB | FORMAT | schemas]", short: "explain a verb: flags, examples, exit codes",
		long: "Without a verb it lists them all. \"help events\", \"help packets\" and \"help maps\" explain what run reads. \"help schemas\" lists the JSON documents with their " +
			"schemas; \"explain schema:VERB\" prints one. With --man the page comes as roff for man(1).",
		examples: []example{
			{"bpfvm help run", "all about one verb"},
			{"bpfvm help --man > bpfvm.1 && man ./bpfvm.1", "the whole manual"},
			{"bpfvm help schemas", "what -j prints"},
		},
		seeAlso: []string{"explain", "completion"},
		wants:   argCount{0, 1},
		pager:   true,
		setup: func(a *app, c *cobra.Command) func([]string) error {
			man := c.Flags().Bool("man", false, "print roff for man(1)")
			c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				out := []cobra.Completion{cobra.CompletionWithDesc("schemas", "the JSON documents")}
				for _, t := range formatTopics() {
					out = append(out, cobra.CompletionWithDesc(t.Name, t.Title))
				}
				for _, e := range a.table {
					out = append(out, cobra.CompletionWithDesc(e.name, e.short))
				}
				return out, cobra.ShellCompDirectiveNoFileComp
			}
			return func(args []string) error {
				switch {
				case len(args) == 0 && *man:
					return a.writeMan(c.Root(), nil)
				case len(args) == 0:
					a.writeOverview()
					return nil
				case args[0] == "schemas":
					return a.writeSchemas()
				}
				entry := a.lookup(args[0])
				if page, ok := formatPage(args[0]); ok && entry == nil {
					a.writeTopic(a.out, page)
					return nil
				}
				if entry == nil {
					return a.unknownVerb(args[0])
				}
				if *man {
					return a.writeMan(c.Root(), entry)
				}
				a.writeHelp(findVerb(c.Root(), entry.name), entry)
				return nil
			}
		},
	}
}

func findVerb(root *cobra.Command, name string) *cobra.Command {
	for _, c := range root.Commands() {
		if c.Name() == name {
			return c
		}
	}
	return root
}

// helpWidth is the width of help pages: the narrowest terminal we care for.
const helpWidth = 78

// writeOverview prints what "bpfvm" alone prints.
func (a *app) writeOverview() {
	w, s := a.out, a.style
	fmt.Fprintf(w, "%s - an eBPF machine that one can look into\n\n", s.head("bpfvm"))
	fmt.Fprintln(w, "  bpfvm VERB FILE[:PROG] [flags]")
	fmt.Fprintln(w)
	t := newTable("", "")
	t.paint(0, s.name)
	var also []string
	for _, c := range a.table {
		switch {
		case c.hidden:
		case c.minor:
			also = append(also, c.name)
		default:
			t.add(c.name, c.short)
		}
	}
	t.write(w, a, "  ")
	fmt.Fprintf(w, "  also: %s\n", strings.Join(also, ", "))
	fmt.Fprintln(w)
	fmt.Fprint(w, wrap("FILE is an object file made by clang or gcc, assembly text (.s), a directory or - for "+
		"standard input. PROG may be left out where there is only one program.", helpWidth, ""))
	fmt.Fprintf(w, "\nEvery verb knows %s.\n", globalNames())
	a.next = "bpfvm help run"
}

// globalNames lists the flags of every verb in short.
func globalNames() string {
	var names []string
	globals().VisitAll(func(f *pflag.Flag) {
		if f.Shorthand != "" {
			names = append(names, "-"+f.Shorthand)
		} else {
			names = append(names, "--"+f.Name)
		}
	})
	return strings.Join(names, " ")
}

// globals are the flags of every verb.
func globals() *pflag.FlagSet {
	fs := pflag.NewFlagSet("global", pflag.ContinueOnError)
	new(globalFlags).register(fs)
	return fs
}

// writeFlags prints flags as aligned lines.
func (a *app) writeFlags(w io.Writer, fs *pflag.FlagSet) {
	for _, f := range flagLines(fs) {
		lines := strings.SplitAfter(wrap(f.text, helpWidth-24, ""), "\n")
		for i, l := range lines {
			if l == "" {
				continue
			}
			word := ""
			if i == 0 {
				word = f.word
				if len(word) > 22 {
					fmt.Fprintf(w, "  %s\n", a.style.name(word))
					word = ""
				}
			}
			fmt.Fprintf(w, "  %s%s%s", a.style.name(word), strings.Repeat(" ", max(22-len(word), 0)), l)
		}
	}
}

type flagLine struct{ word, text string }

// flagLines words each flag: "-j, --json", "--max-steps N".
func flagLines(fs *pflag.FlagSet) []flagLine {
	var out []flagLine
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name, text := pflag.UnquoteUsage(f)
		word := "--" + f.Name
		if f.Shorthand != "" {
			word = "-" + f.Shorthand + ", " + word
		}
		if name != "" && f.Value.Type() != "bool" {
			if f.NoOptDefVal != "" {
				word += "[=" + name + "]"
			} else {
				word += " " + name
			}
		}
		switch f.DefValue {
		case "", "false", "0", "[]":
		default:
			text += " (" + f.DefValue + ")"
		}
		out = append(out, flagLine{word, text})
	})
	return out
}

// writeHelp prints the page of one verb.
func (a *app) writeHelp(c *cobra.Command, e *command) {
	w, s := a.out, a.style
	fmt.Fprintf(w, "%s - %s\n\n", s.head("bpfvm "+e.name), e.short)
	fmt.Fprintf(w, "  bpfvm %s\n\n", strings.TrimSpace(e.name+" "+e.args+" [flags]"))
	fmt.Fprint(w, wrap(e.long, helpWidth, ""))
	if c.LocalNonPersistentFlags().HasFlags() {
		fmt.Fprintf(w, "\n%s\n", s.head("flags"))
		a.writeFlags(w, c.LocalNonPersistentFlags())
		if e.name != "help" {
			fmt.Fprintln(w, s.dim("  and those of every verb: bpfvm help help"))
		}
	}
	if e.name == "help" {
		fmt.Fprintf(w, "\n%s\n", s.head("flags of every verb"))
		a.writeFlags(w, globals())
	}
	fmt.Fprintf(w, "\n%s\n", s.head("examples"))
	for _, x := range e.examples {
		fmt.Fprintf(w, "  %s\n      %s\n", s.name(x.line), x.what)
	}
	fmt.Fprintf(w, "\n%s\n", s.head("exit codes"))
	for _, m := range exitsOf(e) {
		fmt.Fprintf(w, "  %-3d %s\n", m.code, m.text)
	}
	fmt.Fprintf(w, "\n%s %s\n", s.head("see also"), seeAlsoLine(e, "bpfvm help "))
}

type exitLine struct {
	code int
	text string
}

// exitsOf returns the exit codes that the verb can end with.
func exitsOf(e *command) []exitLine {
	var out []exitLine
	for _, m := range exitMeaning {
		keep := m.code == exitOK || m.code == exitUsage || m.code == exitBug
		for _, x := range e.exits {
			keep = keep || x == m.code
		}
		if keep {
			out = append(out, exitLine{m.code, m.text})
		}
	}
	return out
}

func seeAlsoLine(e *command, prefix string) string {
	words := make([]string, len(e.seeAlso))
	for i, s := range e.seeAlso {
		words[i] = prefix + s
	}
	return strings.Join(words, ", ")
}

// writeSchemas lists the documents.
func (a *app) writeSchemas() error {
	names, err := schemaNames()
	if err != nil {
		return err
	}
	t := newTable("DOCUMENT", "SCHEMA")
	t.paint(0, a.style.name)
	for _, n := range names {
		t.add("bpfvm/"+n, "bpfvm explain schema:"+n)
	}
	t.write(a.out, a, "")
	return nil
}

// schemaNames returns the verbs that have a schema.
func schemaNames() ([]string, error) {
	entries, err := fs.ReadDir(schemaFiles, "schema")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names, nil
}
