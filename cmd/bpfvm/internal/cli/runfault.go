package cli

import (
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// faultsShown is how many faults are told in full.
const faultsShown = 3

// writeFaults tells of each fault: what was hit, where, and the registers.
func (r *running) writeFaults() {
	n := 0
	for _, run := range r.doc.Runs {
		if run.Trap == nil {
			continue
		}
		if n++; n > faultsShown {
			continue
		}
		r.writeFault(run.Index, run.Trap.Err)
	}
	if n > faultsShown {
		fmt.Fprintf(r.a.out, "\n%s\n", r.a.style.dim(fmt.Sprintf("%d more faults (-j has them all)", n-faultsShown)))
	}
}

// around is how many instructions are shown before and after the faulting one.
const around = 3

func (r *running) writeFault(index int, t *vm.Trap) {
	s, w := r.a.style, r.a.out
	fmt.Fprintf(w, "\n%s %s\n", s.bad(fmt.Sprintf("! fault at #%d, slot %d:", index, t.PC)), t.Kind)
	fmt.Fprint(w, wrap(faultText(t), 78, "  "))
	p := r.o.coll.Program(t.Prog)
	if p == nil {
		return
	}
	fmt.Fprintln(w)
	pr := linkedPrinter(p, false)
	var shown *spec.Line
	var pcs []isa.PC
	for pc := range p.Insns.All() {
		pcs = append(pcs, pc)
	}
	at := 0
	for i, pc := range pcs {
		if pc == t.PC {
			at = i
		}
	}
	for i := max(at-around, 0); i < min(at+around+1, len(pcs)); i++ {
		pc := pcs[i]
		if line := p.LineAt(pc); line != nil && (shown == nil || line.File != shown.File || line.Line != shown.Line) {
			shown = line
			fmt.Fprintf(w, "  %s\n", s.src(s.clip(fmt.Sprintf("  %s:%d  %s", baseOf(line.File), line.Line, strings.TrimSpace(printable(line.Text))), 76)))
		}
		text := fmt.Sprintf("%5d: %s", pc, pr.Insn(p.Insns, pc))
		if pc == t.PC {
			fmt.Fprintf(w, "  %s\n", s.bad(">"+text))
		} else {
			fmt.Fprintf(w, "   %s\n", text)
		}
	}
	r.writeRegisters(t)
}

// faultText is the trap's message without the place, which stands above it.
func faultText(t *vm.Trap) string {
	if t.Where == "" {
		return t.Msg
	}
	verb := "read"
	if t.Write {
		verb = "write"
	}
	return fmt.Sprintf("%s of %s at %s: %s", verb, plural(t.Size, "byte"), t.Where, t.Msg)
}

// writeRegisters prints the registers that hold something, two a line.
func (r *running) writeRegisters(t *vm.Trap) {
	if len(t.Regs) == 0 {
		return
	}
	s, w := r.a.style, r.a.out
	fmt.Fprintln(w)
	var cells []string
	for i, reg := range t.Regs {
		value := "no value"
		switch {
		case reg.Init && reg.Where != "":
			value = reg.Where
		case reg.Init && reg.Value < 10:
			value = fmt.Sprint(reg.Value)
		case reg.Init && int64(reg.Value) < 1<<20 && int64(reg.Value) > -1<<20:
			value = fmt.Sprintf("%d (%#x)", int64(reg.Value), reg.Value)
		case reg.Init:
			value = fmt.Sprintf("%#x", reg.Value)
		}
		cells = append(cells, fmt.Sprintf("%-4s %s", isa.Register(i), value))
	}
	half := (len(cells) + 1) / 2
	for i := range half {
		line := cells[i]
		if i+half < len(cells) {
			line = fmt.Sprintf("%-36s  %s", line, cells[i+half])
		}
		fmt.Fprintf(w, "   %s\n", s.dim(strings.TrimRight(line, " ")))
	}
}

func baseOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
