package cli

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"bpfvm/cover"

	"github.com/spf13/pflag"
)

// coverFlag adds --cover and --cover=FILE.html.
func coverFlag(fs *pflag.FlagSet, v *string) {
	fs.StringVar(v, "cover", "", "show which lines, instructions and branches ran; as a page into `FILE.html`")
	fs.Lookup("cover").NoOptDefVal = coverText
}

// coverText is the value of --cover without a file.
const coverText = "-"

// checkCover refuses what coverage cannot be written to, or counted on.
func checkCover(flag string, engines []string) error {
	if flag == "" {
		return nil
	}
	if ext := filepath.Ext(flag); flag != coverText && ext != ".html" && ext != ".htm" {
		return usageErr("--cover=%s: want a name that ends in .html; JSON comes with -j", flag)
	}
	if slices.Contains(engines, "step") {
		return nil
	}
	if len(engines) == 0 {
		return nil
	}
	return usageErr("--cover needs --engine=step, %s does not say what runs", strings.Join(engines, " and "))
}

// writeCover shows the report: as a page where a file was named, else as text.
func (a *app) writeCover(flag, title string, r *cover.Report) error {
	if flag != coverText {
		var b bytes.Buffer
		if err := r.WriteHTML(&b, title); err != nil {
			return err
		}
		if err := a.writeFile(flag, b.Bytes()); err != nil {
			return err
		}
	}
	if a.jsonWanted() {
		return nil
	}
	if flag != coverText {
		fmt.Fprintf(a.out, "\ncoverage  insns %s  branches %s: %s\n", r.Insns, r.Branches, display(flag))
		return nil
	}
	fmt.Fprintln(a.out)
	return r.WriteText(a.out)
}
