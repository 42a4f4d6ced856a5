package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// targetKernel is the kernel whose limits, helpers and semantics bpfvm has.
const targetKernel = "6.18"

// globalFlags are the flags of every verb.
type globalFlags struct {
	json, pretty, quiet, verbose bool
	color                        string
	ascii, plain, noPager        bool
	kernel                       string
	btf                          string // verbs that link objects list it among their own, see btfFlag
}

func (g *globalFlags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.BoolVarP(&g.json, "json", "j", false, "print one JSON document on stdout")
	fs.BoolVarP(&g.pretty, "pretty", "p", false, "print JSON indented (implies --json)")
	fs.BoolVarP(&g.quiet, "quiet", "q", false, "no hints and no progress on stderr")
	fs.BoolVarP(&g.verbose, "verbose", "v", false, "say more")
	fs.StringVar(&g.color, "color", "auto", "`WHEN` to use colours: auto, always or never")
	fs.BoolVar(&g.ascii, "ascii", false, "plain ASCII, no arrows and lines")
	fs.BoolVar(&g.plain, "plain", false, "linear text for screen readers, one fact a line")
	fs.BoolVar(&g.noPager, "no-pager", false, "never start a pager")
	fs.StringVar(&g.kernel, "kernel", targetKernel, "kernel `VERSION` to behave like")
	fs.StringVar(&g.btf, "btf", "", "kernel types for CO-RE: host or a `FILE`")
}

func (g *globalFlags) check() error {
	switch g.color {
	case "auto", "always", "never":
	default:
		return usageErr("--color=%s: want auto, always or never%s", g.color,
			didYouMean(g.color, []string{"auto", "always", "never"}))
	}
	if g.kernel != targetKernel {
		return unsupportedErr("--kernel=%s: this version of bpfvm behaves like Linux %s only", g.kernel, targetKernel)
	}
	return nil
}

func (a *app) jsonWanted() bool { return a.flags.json || a.flags.pretty }

// completeGlobals offers the values of the global flags.
func (a *app) completeGlobals(root *cobra.Command) {
	mustComplete(root, "color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	mustComplete(root, "kernel", cobra.FixedCompletions([]string{targetKernel}, cobra.ShellCompDirectiveNoFileComp))
}
