package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// command is one verb: what it is called, how it is explained and what it does.
type command struct {
	name  string
	args  string // the synopsis after the name: "FILE[:PROG]"
	short string // one line, without a period
	long  string // paragraphs for the help page

	examples []example // three
	exits    []int     // the codes it can return besides 0, 2 and 70
	seeAlso  []string

	wants  argCount
	json   bool // it can print JSON, so its errors can as well
	pager  bool // its output is to be read, not piped
	hidden bool
	minor  bool // the overview only names it

	// setup registers the verb's flags and completion and returns what runs it.
	setup func(a *app, c *cobra.Command) func(args []string) error
}

// example is one line of a help page.
type example struct{ line, what string }

// argCount bounds the number of operands.
type argCount struct{ min, max int }

const anyNumber = 1 << 30

func (n argCount) allows(have int) bool { return have >= n.min && have <= n.max }

// argsError says what operands the verb wants.
func (c *command) argsError(args []string) error {
	switch {
	case len(args) < c.wants.min:
		return usageErr("%s: operand missing: bpfvm %s %s", c.name, c.name, c.args)
	case c.wants.max == 0:
		return usageErr("%s takes no operand, got %q", c.name, args[0])
	default:
		return usageErr("%s: one operand too many: %q", c.name, args[c.wants.max])
	}
}

// commands is the table of all verbs, in the order of the overview. It is a
// function because help and completion read it in turn.
func commands() []*command {
	return []*command{
		cmdInspect(),
		cmdDisasm(),
		cmdAsm(),
		cmdVerify(),
		cmdRun(),
		cmdStep(),
		cmdUnittest(),
		cmdDiff(),
		cmdKernel(),
		cmdTour(),
		cmdBench(),
		cmdLabs(),
		cmdExplain(),
		cmdDoctor(),
		cmdConformance(),
		cmdCompletion(),
		cmdHelp(),
		cmdVersion(),
	}
}

// progress writes a line about what goes on, unless the user wants quiet.
func (a *app) progress(format string, args ...any) {
	if !a.flags.quiet {
		fmt.Fprintf(a.io.Err, format+"\n", args...)
	}
}

// warn writes a line that the user should see even when quiet.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.io.Err, a.style.warn("warning:")+" "+format+"\n", args...)
}
