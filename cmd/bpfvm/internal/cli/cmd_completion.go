package cli

import (
	"github.com/spf13/cobra"
)

func cmdCompletion() *command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &command{
		name: "completion", minor: true, args: "bash|zsh|fish|powershell", short: "print a shell completion script",
		long: "Prints the script that makes the shell complete verbs, flags, the programs, maps and " +
			"functions of the object named, and the topics of explain.\n\n" +
			"bash        source <(bpfvm completion bash)\n" +
			"zsh         bpfvm completion zsh > \"${fpath[1]}/_bpfvm\"\n" +
			"fish        bpfvm completion fish | source\n" +
			"PowerShell  bpfvm completion powershell | Out-String | Invoke-Expression",
		examples: []example{
			{"source <(bpfvm completion bash)", "for this bash"},
			{"bpfvm completion fish | source", "for this fish"},
			{"bpfvm completion powershell | Out-String | Invoke-Expression", "for this PowerShell"},
		},
		seeAlso: []string{"help"},
		wants:   argCount{1, 1},
		setup: func(a *app, c *cobra.Command) func([]string) error {
			c.ValidArgsFunction = cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp)
			return func(args []string) error {
				root := c.Root()
				switch args[0] {
				case "bash":
					return root.GenBashCompletionV2(a.out, true)
				case "zsh":
					return root.GenZshCompletion(a.out)
				case "fish":
					return root.GenFishCompletion(a.out, true)
				case "powershell", "pwsh":
					return root.GenPowerShellCompletionWithDesc(a.out)
				}
				return usageErr("no completion for the shell %q%s", args[0], didYouMean(args[0], shells))
			}
		},
	}
}
