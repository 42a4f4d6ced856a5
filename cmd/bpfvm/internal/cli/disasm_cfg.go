package cli

import (
	"fmt"
	"strings"

	"bpfvm/cfg"
	"bpfvm/isa"
	"bpfvm/spec"
)

// flowGraph is one function to be drawn.
type flowGraph struct {
	cfg.Picture
	prog *spec.ProgramSpec
}

// disasmCFG draws the control flow of functions.
func (a *app) disasmCFG(arg, form string, source bool) error {
	if form != "dot" && form != "svg" && form != "text" {
		return usageErr("--cfg=%s: want dot, svg or text%s", form, didYouMean(form, []string{"dot", "svg", "text"}))
	}
	if a.jsonWanted() {
		return usageErr("--cfg has no JSON form; --cfg=dot is for other tools")
	}
	t := splitTarget(arg)
	o, err := a.open(t.path)
	if err != nil {
		return err
	}
	graphs, err := flowGraphs(o, t.prog, source)
	if err != nil {
		return err
	}
	if form == "svg" && len(graphs) > 1 {
		var names []string
		for _, g := range graphs {
			names = append(names, g.Name)
		}
		return usageErr("--cfg=svg draws one function; say which: %s", strings.Join(targets(display(t.path), names), ", "))
	}
	for i := range graphs {
		g := &graphs[i]
		switch form {
		case "svg":
			err = g.WriteSVG(a.out)
		case "dot":
			err = g.Graph.DOT(a.out, g.Name, g.prog.Printer())
		default:
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			fmt.Fprintln(a.out, a.style.head(g.Name))
			err = g.WriteText(a.out, a.flags.ascii)
		}
		if err != nil {
			return err
		}
	}
	if form == "text" && !isDir(t.path) {
		a.suggest(t.path, fmt.Sprintf("bpfvm disasm %s:%s --cfg=svg >flow.svg", display(t.path), graphs[0].Name))
	}
	return nil
}

// flowGraphs builds the graphs of a program with its subprograms, of one function, or
// of all programs.
func flowGraphs(o *object, name string, source bool) ([]flowGraph, error) {
	progs := o.coll.Programs
	isFunc := name != "" && o.coll.Program(name) == nil
	if !isFunc {
		var err error
		if progs, err = o.programs(name); err != nil {
			return nil, err
		}
	}
	var out []flowGraph
	for _, p := range progs {
		for i, f := range p.Funcs {
			if isFunc && f.Name != name {
				continue
			}
			end := isa.PC(len(p.Insns))
			if i+1 < len(p.Funcs) {
				end = p.Funcs[i+1].PC
			}
			g, err := cfg.Build(p.Insns, f.PC, end)
			if err != nil {
				return nil, inputErr("%s: function %s: %w", display(o.path), printable(f.Name), err)
			}
			out = append(out, flowGraph{cfg.Picture{Graph: g, Name: printable(f.Name), Insn: insnText(p), Source: sourceText(p, source)}, p})
		}
		if isFunc && len(out) > 0 {
			return out, nil
		}
	}
	if len(out) == 0 { // says that there is no such program
		_, err := o.program(name)
		return nil, err
	}
	return out, nil
}

func insnText(p *spec.ProgramSpec) func(isa.PC) string {
	pr := p.Printer()
	return func(pc isa.PC) string { return printable(pr.Insn(p.Insns, pc)) }
}

// sourceText gives the C line where a new one begins.
func sourceText(p *spec.ProgramSpec, wanted bool) func(isa.PC) string {
	if !wanted {
		return nil
	}
	return func(pc isa.PC) string {
		l := p.LineAt(pc)
		if l == nil || pc > 0 && p.LineAt(pc-1) != nil && p.LineAt(pc-1).Line == l.Line && p.LineAt(pc-1).File == l.File {
			return ""
		}
		return fmt.Sprintf("%d  %s", l.Line, printable(strings.TrimSpace(strings.ReplaceAll(l.Text, "\t", " "))))
	}
}
