package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"

	"bpfvm/kernel"

	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// IO is all that Main knows of the world besides files.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// Env looks up an environment variable.
	Env func(string) (string, bool)
	// OutTTY and ErrTTY say whether the outputs are terminals.
	OutTTY, ErrTTY bool
	// Size returns the columns and lines of the terminal; 0 where unknown.
	Size func() (cols, lines int)
	// Page shows text in a pager and returns false if it could not.
	Page func(text []byte) bool
}

// OSMain runs Main on the process's own arguments and files. Ctrl-C ends a run
// through its context, so that its output so far is kept.
func OSMain() int {
	kernel.WorkerMain() // does not return in a process that was started to ask the kernel
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process
	return Main(ctx, os.Args[1:], osIO())
}

// Main parses args (without the program's name), runs the verb and returns the
// exit code.
func Main(ctx context.Context, args []string, stdio IO) (code int) {
	a := &app{ctx: ctx, io: stdio, out: stdio.Out, table: commands()}
	defer func() {
		if r := recover(); r != nil {
			a.reportBug(r, debug.Stack())
			code = exitBug
		}
	}()
	root := a.newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.flush()
	return a.finish(err)
}

// app is one call of Main.
type app struct {
	ctx   context.Context
	io    IO
	flags globalFlags
	style style
	table []*command

	cmd  *command     // the verb that runs
	out  io.Writer    // stdout, or page
	page bytes.Buffer // stdout of a verb whose output may go to a pager
	next string       // the command line to try next

	target *btf.Spec // what --btf read
}

// begin readies colours and output once flags are parsed.
func (a *app) begin(c *command) error {
	a.cmd = c
	if err := a.flags.check(); err != nil {
		return err
	}
	a.style = a.newStyle()
	if c.pager && a.io.OutTTY && !a.flags.noPager && a.io.Page != nil && !a.jsonWanted() {
		a.out = &a.page
	}
	return nil
}

// flush writes what was held back for the pager, through it if it does not fit
// the terminal.
func (a *app) flush() {
	if a.page.Len() == 0 {
		return
	}
	_, lines := a.io.Size()
	if lines > 0 && bytes.Count(a.page.Bytes(), []byte{'\n'}) >= lines && a.io.Page(a.page.Bytes()) {
		return
	}
	a.io.Out.Write(a.page.Bytes())
}

// finish reports the error and the next command and returns the exit code.
func (a *app) finish(err error) int {
	code := exitCode(err)
	switch {
	case err == nil, errors.Is(err, errAnswered):
	case a.jsonWanted() && a.cmd != nil && a.cmd.json:
		a.writeJSON(errorDoc{docHead: head("error"), Exit: code, Kind: exitWord(code), Error: err.Error()})
		fallthrough
	default:
		a.printError(code, err)
	}
	if a.next != "" && !a.flags.quiet && (code == exitOK || code == exitNegative || code == exitFault) {
		fmt.Fprintf(a.io.Err, "%s %s\n", a.style.dim("next:"), a.next)
	}
	return code
}

// maxErrorLines bounds what a broken input may print.
const maxErrorLines = 40

func (a *app) printError(code int, err error) {
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	more := len(lines) - maxErrorLines
	lines = lines[:min(len(lines), maxErrorLines)]
	for i, l := range lines {
		if i == 0 {
			l = a.style.bad("bpfvm:") + " " + l
		}
		fmt.Fprintln(a.io.Err, l)
	}
	if more > 0 {
		fmt.Fprintf(a.io.Err, "... and %d more lines\n", more)
	}
	if code == exitUsage {
		verb := ""
		if a.cmd != nil {
			verb = " " + a.cmd.name
		}
		fmt.Fprintf(a.io.Err, "try: bpfvm help%s\n", verb)
	}
}

// reportBug says that bpfvm itself is at fault; the stack is for the report.
func (a *app) reportBug(cause any, stack []byte) {
	fmt.Fprintf(a.io.Err, "bpfvm bug: %v\n", cause)
	fmt.Fprintln(a.io.Err, "This is a fault of bpfvm, not of your program. Please report it to the bpfvm")
	fmt.Fprintln(a.io.Err, "project's issues, with the command line, the input file and these lines:")
	fmt.Fprintf(a.io.Err, "  %s\n", buildLine())
	for _, l := range panicFrames(stack) {
		fmt.Fprintf(a.io.Err, "  %s\n", l)
	}
}

// panicFrames returns the functions between the panic and Main.
func panicFrames(stack []byte) []string {
	var frames []string
	for l := range strings.SplitSeq(string(stack), "\n") {
		if strings.HasPrefix(l, "\t") || !strings.HasPrefix(l, "bpfvm/") {
			continue
		}
		if i := strings.LastIndexByte(l, '('); i > 0 {
			l = l[:i]
		}
		if len(frames) < 12 {
			frames = append(frames, l)
		}
	}
	return frames
}

// newRoot builds the parser from the table.
func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:               "bpfvm",
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				if err := a.begin(a.lookup("help")); err != nil {
					return err
				}
				a.writeOverview()
				return nil
			}
			return a.unknownVerb(args[0])
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetIn(a.io.In)
	root.SetOut(a.io.Out)
	root.SetErr(a.io.Err)
	root.SetFlagErrorFunc(a.flagError)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { a.helpFlag(c) })
	a.flags.register(root.PersistentFlags())
	root.InitDefaultHelpFlag()
	root.Flags().Lookup("help").Usage = "this text"
	for _, c := range a.table {
		sub := a.newVerb(c)
		if c.name == "help" {
			root.SetHelpCommand(sub)
		}
		root.AddCommand(sub)
	}
	a.completeGlobals(root)
	return root
}

// flagError words a mistake in a flag and suggests the nearest.
func (a *app) flagError(c *cobra.Command, err error) error {
	a.cmd = a.lookup(c.Name())
	text := err.Error()
	word, ok := strings.CutPrefix(text, "unknown flag: --")
	if !ok {
		return usageErr("%s", text)
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near := nearest(word, names, 1)
	if len(near) == 0 {
		return usageErr("%s", text)
	}
	return usageErr("%s; did you mean --%s?", text, near[0])
}

// newVerb builds the parser of one entry.
func (a *app) newVerb(c *command) *cobra.Command {
	sub := &cobra.Command{
		Use:                   strings.TrimSpace(c.name + " " + c.args),
		Short:                 c.short,
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		Hidden:                c.hidden,
	}
	sub.Flags().SortFlags = false
	run := c.setup(a, sub)
	sub.InitDefaultHelpFlag()
	sub.Flags().Lookup("help").Usage = "this text"
	sub.RunE = func(_ *cobra.Command, args []string) error {
		if err := a.begin(c); err != nil {
			return err
		}
		if !c.wants.allows(len(args)) {
			return c.argsError(args)
		}
		return run(args)
	}
	return sub
}

// helpFlag serves -h and --help, which cobra handles before any RunE.
func (a *app) helpFlag(c *cobra.Command) {
	entry := a.lookup(c.Name())
	if entry == nil {
		entry = a.lookup("help")
	}
	if err := a.begin(entry); err != nil {
		a.style = style{}
	}
	if c.Parent() == nil {
		a.writeOverview()
		return
	}
	a.writeHelp(c, entry)
}

// lookup returns the verb's entry, or nil.
func (a *app) lookup(name string) *command {
	for _, c := range a.table {
		if c.name == name {
			return c
		}
	}
	return nil
}

// plannedVerbs are words that later versions of bpfvm know.
var plannedVerbs = []string{
	"web", "dap", "trace",
}

func (a *app) unknownVerb(word string) error {
	if slices.Contains(plannedVerbs, word) {
		return unsupportedErr("the verb %q is not in this version of bpfvm", word)
	}
	var names []string
	for _, c := range a.table {
		names = append(names, c.name)
	}
	return usageErr("unknown verb %q%s", word, didYouMean(word, names))
}
