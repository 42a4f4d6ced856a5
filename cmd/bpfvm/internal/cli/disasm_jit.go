package cli

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/jit"
	"bpfvm/jit/amd64"
	"bpfvm/runtime"
)

// x86Row is one x86-64 instruction.
type x86Row struct {
	Addr  int    `json:"addr"` // from the start of the image
	Bytes string `json:"bytes"`
	Text  string `json:"text"`
}

// disasmJIT lists machine code. Programs are loaded first, because map addresses
// are part of it.
func (a *app) disasmJIT(arg string, f disasmFlags) error {
	passes, err := parsePasses(f.passes)
	if err != nil {
		return err
	}
	t := splitTarget(arg)
	doc := disasmDoc{docHead: head("disasm"), Stage: f.stage, Programs: []disasmProg{}, Refused: []refusal{}}
	err = a.eachObject(t.path, &doc.Refused, func(o *object) error {
		progs, err := o.programs(t.prog)
		if err != nil {
			return err
		}
		target, err := a.targetBTF()
		if err != nil {
			return err
		}
		rt, err := runtime.New(runtime.Options{Engine: jit.With(passes), CPUs: 1, Target: target})
		if err != nil {
			return err
		}
		defer rt.Close()
		names := make([]string, len(progs))
		for i, p := range progs {
			names[i] = p.Name
		}
		coll, err := rt.LoadWith(o.coll, runtime.LoadOptions{Programs: names})
		if err != nil {
			return err
		}
		for _, p := range progs {
			out, err := jitListing(coll.Program(p.Name), linkedPrinter(p, false))
			if err != nil {
				return err
			}
			out.Object = display(o.path)
			if f.stage == "all" {
				annotate(o, p, &out)
			}
			doc.Programs = append(doc.Programs, out)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
		return nil
	}
	for i, p := range doc.Programs {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if f.stage == "all" {
			a.writeAll(p)
		} else {
			a.writeJIT(p)
		}
	}
	if !isDir(t.path) {
		a.suggest(t.path, "bpfvm disasm "+display(arg)+" -S")
	}
	return nil
}

// jitListing compiles one loaded program. Code that belongs to no instruction has
// slot -1; an instruction whose rare cases were put out of the way comes twice.
func jitListing(p *runtime.Program, pr *isa.Printer) (disasmProg, error) {
	out := disasmProg{Name: p.Name(), Section: p.Spec().Section, Insns: []disasmInsn{}}
	code := p.Code()
	compiled, err := p.Func()
	if err != nil {
		return out, err
	}
	image, ok := compiled.(*amd64.Program)
	if !ok {
		return out, fmt.Errorf("the compiler made a %T", compiled)
	}
	out.X86Bytes = image.Size()
	lines, err := image.Listing(*pr)
	if err != nil {
		return out, err
	}
	for _, l := range lines {
		row := disasmInsn{Slot: int(l.PC), Text: l.Text, pc: l.PC}
		if l.PC >= 0 {
			row.Bytes = slotBytes(code.Insns, l.PC)
		}
		for _, x := range l.X86 {
			row.X86 = append(row.X86, x86Row{x.Addr, fmt.Sprintf("% x", x.Bytes), x.Text})
		}
		out.Insns = append(out.Insns, row)
	}
	return out, nil
}

// writeJIT prints one program: each instruction, its machine code below.
func (a *app) writeJIT(p disasmProg) {
	w, s := a.out, a.style
	fmt.Fprintln(w, s.head(fmt.Sprintf("%s  %s, %d bytes of x86-64", p.Name, p.Section, p.X86Bytes)))
	for _, l := range p.Insns {
		if l.Slot < 0 {
			fmt.Fprintln(w, s.dim("   : entry, exits, rare cases"))
		} else {
			fmt.Fprintf(w, "%3d: %s\n", l.Slot, l.Text)
		}
		for _, x := range l.X86 {
			fmt.Fprintf(w, "  %s %s\n", s.dim(fmt.Sprintf("%5x  %-30s", x.Addr, x.Bytes)), s.name(x.Text))
		}
	}
}
