package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func cmdVersion() *command {
	return &command{
		name: "version", minor: true, short: "show the version, and the kernel it behaves like",
		long: "Prints the version that the binary was built from, the Go compiler that built it " +
			"and the kernel whose semantics, limits and helpers it has.",
		examples: []example{
			{"bpfvm version", "one line"},
			{"bpfvm version -p", "all that is known about the build"},
			{"bpfvm version -j | jq -r .kernel", "the target kernel alone"},
		},
		seeAlso: []string{"doctor", "help"},
		json:    true,
		setup: func(a *app, _ *cobra.Command) func([]string) error {
			return func([]string) error {
				doc := newVersionDoc()
				if a.jsonWanted() {
					a.writeJSON(doc)
					return nil
				}
				fmt.Fprintln(a.out, buildLine())
				return nil
			}
		},
	}
}

// versionDoc is the document of "version".
type versionDoc struct {
	docHead
	Module   string `json:"module"`
	Release  string `json:"release"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Kernel   string `json:"kernel"`
}

func newVersionDoc() versionDoc {
	d := versionDoc{
		docHead: head("version"), Module: "bpfvm", Release: "(devel)",
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: targetKernel,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return d
	}
	if info.Main.Path != "" {
		d.Module = info.Main.Path
	}
	if info.Main.Version != "" {
		d.Release = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			d.Revision = s.Value
		case "vcs.modified":
			d.Modified = s.Value == "true"
		}
	}
	return d
}

// buildLine is the version in one line.
func buildLine() string {
	d := newVersionDoc()
	line := fmt.Sprintf("bpfvm %s", d.Release)
	if len(d.Revision) >= 12 && d.Release == "(devel)" {
		line += " " + d.Revision[:12]
	}
	return fmt.Sprintf("%s, behaves like Linux %s, %s %s/%s", line, d.Kernel, d.Go, d.OS, d.Arch)
}
