package cli

import (
	"fmt"
	"io"
	"strings"
)

func hasMembers(d inspectDoc) bool {
	for _, m := range d.Maps {
		if len(m.Members) > 0 {
			return true
		}
	}
	return false
}

// writeMembers prints what struct_ops maps have in them.
func (a *app) writeMembers(w io.Writer, d inspectDoc) {
	t := newTable("STRUCT_OPS", "MEMBER", ">AT", "VALUE", "NOTE")
	t.paint(0, a.style.name)
	for _, m := range d.Maps {
		for i, e := range m.Members {
			name, value := "", e.Value
			if i == 0 {
				name = m.Name
			}
			if e.Program != "" {
				value = "program " + e.Program
			}
			t.add(name, e.Name, e.Offset, printable(value), printable(e.Missing))
		}
	}
	t.write(w, a, "")
}

func (a *app) writeVariables(w io.Writer, d inspectDoc) {
	if len(d.Variables) == 0 {
		fmt.Fprintln(w, "VARIABLES none")
		return
	}
	t := newTable("VARIABLE", "MAP", ">AT", ">SIZE", "BIND", "TYPE")
	t.paint(0, a.style.name)
	for _, v := range d.Variables {
		t.add(printable(v.Name), v.Map, v.Offset, v.Size, v.Bind, oneLine(v.Type))
	}
	t.write(w, a, "")
}

func (a *app) writeExterns(w io.Writer, d inspectDoc) {
	if len(d.Externs) == 0 {
		fmt.Fprintln(w, "EXTERNS none")
		return
	}
	t := newTable("EXTERN", "KIND", "WEAK", "KERNEL HAS IT", "DECLARATION", "NOTE")
	t.paint(0, a.style.name)
	for _, e := range d.Externs {
		kernel := e.Kernel
		if kernel == "" {
			kernel = "-"
		}
		t.add(printable(e.Name), e.Kind, yesNo(e.Weak), kernel, oneLine(e.Decl), printable(e.Error))
	}
	t.write(w, a, "")
}

// oneLine writes C text that may have several lines, as unnamed structures do, on
// one.
func oneLine(c string) string { return printable(strings.Join(strings.Fields(c), " ")) }
