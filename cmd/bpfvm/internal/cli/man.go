package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// writeMan prints roff for man(1): the page of one verb, or of all.
func (a *app) writeMan(root *cobra.Command, only *command) error {
	w := a.out
	title, name, short := "BPFVM", "bpfvm", "an eBPF machine that one can look into"
	if only != nil {
		title, name, short = "BPFVM-"+strings.ToUpper(only.name), "bpfvm-"+only.name, only.short
	}
	fmt.Fprintf(w, ".TH %s 1 \"\" \"bpfvm\" \"User Commands\"\n", roff(title))
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(name), roff(short))
	fmt.Fprint(w, ".SH SYNOPSIS\n")
	if only != nil {
		manSynopsis(w, only)
		manBody(w, root, only)
		return nil
	}
	for _, e := range a.table {
		manSynopsis(w, e)
		fmt.Fprintln(w, ".br")
	}
	fmt.Fprint(w, ".SH GLOBAL FLAGS\n")
	for _, f := range flagLines(root.PersistentFlags()) {
		manFlag(w, f)
	}
	for _, e := range a.table {
		fmt.Fprintf(w, ".SH %s\n", roff(strings.ToUpper(e.name)))
		fmt.Fprintf(w, "%s.\n", roff(e.short))
		manParagraphs(w, e.long)
		manFlags(w, root, e)
		manExamples(w, e)
	}
	fmt.Fprint(w, ".SH EXIT STATUS\n")
	for _, m := range exitMeaning {
		fmt.Fprintf(w, ".TP\n%d\n%s\n", m.code, roff(m.text))
	}
	return nil
}

func manSynopsis(w io.Writer, e *command) {
	fmt.Fprintf(w, ".B bpfvm %s\n%s\n", roff(e.name), roff(strings.TrimSpace(e.args+" [flags]")))
}

// manBody prints what follows the synopsis on a verb's own page.
func manBody(w io.Writer, root *cobra.Command, e *command) {
	fmt.Fprint(w, ".SH DESCRIPTION\n")
	manParagraphs(w, e.long)
	fmt.Fprint(w, ".SH OPTIONS\n")
	manFlags(w, root, e)
	fmt.Fprint(w, ".SH EXAMPLES\n")
	manExamples(w, e)
	fmt.Fprint(w, ".SH EXIT STATUS\n")
	for _, m := range exitsOf(e) {
		fmt.Fprintf(w, ".TP\n%d\n%s\n", m.code, roff(m.text))
	}
	fmt.Fprintf(w, ".SH SEE ALSO\n%s\n", roff(seeAlsoLine(e, "bpfvm-")))
}

func manParagraphs(w io.Writer, text string) {
	for p := range strings.SplitSeq(text, "\n\n") {
		fmt.Fprint(w, ".PP\n")
		for l := range strings.SplitSeq(p, "\n") {
			if strings.HasPrefix(l, " ") {
				fmt.Fprintf(w, ".br\n")
			}
			fmt.Fprintln(w, roff(l))
		}
	}
}

func manFlags(w io.Writer, root *cobra.Command, e *command) {
	for _, f := range flagLines(findVerb(root, e.name).LocalNonPersistentFlags()) {
		manFlag(w, f)
	}
}

func manFlag(w io.Writer, f flagLine) {
	fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(f.word), roff(f.text))
}

func manExamples(w io.Writer, e *command) {
	for _, x := range e.examples {
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(x.line), roff(x.what))
	}
}

// roff escapes text: backslashes, hyphens, and dots and quotes that begin a line.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
