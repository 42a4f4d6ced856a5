package cli

import (
	"errors"
	"fmt"
	"strings"

	"bpfvm/jit"
	"bpfvm/jit/amd64"
	"bpfvm/kernel"
	"bpfvm/runtime"
	"bpfvm/spec"
)

// jitDoc is the document of "diff --jit-bytes".
type jitDoc struct {
	docHead
	Release  string    `json:"release"` // of the kernel
	Programs []jitProg `json:"programs"`
	Refused  []refusal `json:"refused"`
}

// jitProg is one program as machine code, twice.
type jitProg struct {
	Object  string    `json:"object"`
	Name    string    `json:"name"`
	Section string    `json:"section"`
	Ours    int       `json:"ours_bytes"`
	Kernel  int       `json:"kernel_bytes"`
	Slots   []jitSlot `json:"slots"`
}

// jitSlot is the machine code of one instruction.
type jitSlot struct {
	Slot   int      `json:"slot"` // -1: belongs to none
	Text   string   `json:"text"`
	Ours   []x86Row `json:"ours"`
	Kernel []x86Row `json:"kernel"`
	Rare   bool     `json:"rare,omitempty"` // ours, out of the way
}

// diffJIT lays our machine code beside the kernel's.
func (a *app) diffJIT(arg string, f diffFlags) error {
	if f.jitBytes != "kernel" {
		return usageErr("--jit-bytes=%s: ours can be laid beside that of the kernel only", f.jitBytes)
	}
	passes, err := parsePasses(f.passes)
	if err != nil {
		return err
	}
	k, err := kernel.Start(a.ctx, kernel.Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		return withCode(exitPrivilege, fmt.Errorf("diff --jit-bytes=kernel: %w", err))
	} else if err != nil {
		return kernelErr(err)
	}
	defer k.Close()
	doc := jitDoc{docHead: head("diff-jit"), Programs: []jitProg{}, Refused: []refusal{}}
	st, err := k.Status(a.ctx)
	if err != nil {
		return kernelErr(err)
	}
	if doc.Release = st.Release; st.Arch != "x86_64" {
		return withCode(exitPrivilege, unsupportedErr("diff --jit-bytes=kernel: this kernel makes machine code for %s, ours is for x86_64", st.Arch))
	}
	t := splitTarget(arg)
	err = a.eachObject(t.path, &doc.Refused, func(o *object) error {
		progs, err := o.programs(t.prog)
		if err != nil {
			return err
		}
		for _, p := range progs {
			out, err := a.jitBeside(k, o, p, passes)
			if err != nil {
				return kernelErr(err)
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
		a.writeBeside(p, doc.Release)
	}
	return nil
}

// jitBeside compiles one program here and in the kernel.
func (a *app) jitBeside(k *kernel.Kernel, o *object, p *spec.ProgramSpec, passes jit.Passes) (jitProg, error) {
	out := jitProg{Object: display(o.path), Name: p.Name, Section: p.Section, Slots: []jitSlot{}}
	r, theirs, err := k.JitedBySlot(a.ctx, kernel.Job{Spec: o.coll, Program: p.Name, Log: kernel.LogStats})
	switch {
	case err != nil:
		return out, err
	case r.Verdict == kernel.NotTried:
		return out, withCode(exitPrivilege, unsupportedErr("diff --jit-bytes=kernel: %s: %s", p.Name, r.Reason))
	case r.Prog == nil:
		return out, withCode(exitNegative, fmt.Errorf("%s: the kernel refuses it: %s", p.Name, lastWords(r.Log)))
	case r.Prog.JitedLen == 0:
		return out, withCode(exitPrivilege, unsupportedErr("diff --jit-bytes=kernel: this kernel's JIT is off (net.core.bpf_jit_enable)"))
	}
	target, err := a.targetBTF()
	if err != nil {
		return out, err
	}
	rt, err := runtime.New(runtime.Options{Engine: jit.With(passes), CPUs: 1, Target: target})
	if err != nil {
		return out, err
	}
	defer rt.Close()
	coll, err := rt.LoadWith(o.coll, runtime.LoadOptions{Programs: []string{p.Name}})
	if err != nil {
		return out, err
	}
	ours, err := jitListing(coll.Program(p.Name), linkedPrinter(p, false))
	if err != nil {
		return out, err
	}
	out.Ours, out.Kernel = ours.X86Bytes, int(r.Prog.JitedLen)
	out.Slots = align(p, ours, theirs)
	return out, nil
}

// align brings both listings into the order of slots. What belongs to no slot stands
// before them, our rare cases and ways out behind.
func align(p *spec.ProgramSpec, ours disasmProg, theirs []kernel.SlotCode) []jitSlot {
	pr := linkedPrinter(p, false)
	at := map[int]*jitSlot{}
	var order []*jitSlot
	entry := &jitSlot{Slot: -1, Text: "entry", Ours: []x86Row{}, Kernel: []x86Row{}}
	order = append(order, entry)
	for pc := range p.Insns.All() {
		s := &jitSlot{Slot: int(pc), Text: pr.Insn(p.Insns, pc), Ours: []x86Row{}, Kernel: []x86Row{}}
		at[s.Slot], order = s, append(order, s)
	}
	for i, l := range ours.Insns {
		s := at[l.Slot]
		switch {
		case s == nil && i == 0:
			s = entry
		case s == nil || len(s.Ours) > 0:
			text := l.Text
			if s == nil {
				text = "ways out"
			}
			s = &jitSlot{Slot: l.Slot, Text: text, Kernel: []x86Row{}, Rare: true}
			order = append(order, s)
		}
		s.Ours = append(s.Ours, l.X86...)
	}
	base := map[string]uint64{}
	for _, c := range theirs {
		s := at[int(c.PC)]
		if s == nil {
			s = entry
		}
		first, ok := base[c.Func]
		if !ok {
			first = c.Addr
			base[c.Func] = first
		}
		prologue := c.Addr == first
		for _, x := range amd64.Disassemble(c.Code, c.Addr-first) {
			row := x86Row{x.Addr + int(c.Addr-first), fmt.Sprintf("% x", x.Bytes), plainText(x.Text)}
			if prologue = prologue && inPrologue(row.Text); prologue && c.PC == 0 {
				entry.Kernel = append(entry.Kernel, row)
				continue
			}
			s.Kernel = append(s.Kernel, row)
		}
	}
	out := make([]jitSlot, 0, len(order))
	for _, s := range order {
		out = append(out, *s)
	}
	return out
}

// inPrologue reports whether an instruction is one of those that begin a function
// (arch/x86/net/bpf_jit_comp.c, emit_prologue).
func inPrologue(text string) bool {
	switch op, _, _ := strings.Cut(text, " "); op {
	case "endbr64", "nop", "push":
		return true
	case "sub":
		return strings.HasPrefix(text, "sub rsp,")
	}
	return text == "mov rbp, rsp"
}

// plainText leaves out the operands of long nops, and names targets that lie before or
// far behind the image: functions of the kernel.
func plainText(text string) string {
	op, target, ok := strings.Cut(text, " 0x")
	if strings.HasPrefix(text, "nop ") {
		return "nop"
	}
	if ok && len(target) > 8 && (op == "call" || op == "jmp") {
		return op + " (kernel)"
	}
	return text
}

// besideWidth is that of our column.
const besideWidth = 46

// writeBeside prints one program: each instruction, below it our machine code left and
// the kernel's right.
func (a *app) writeBeside(p jitProg, release string) {
	w, s := a.out, a.style
	fmt.Fprintln(w, s.head(fmt.Sprintf("%s  %s", p.Name, p.Section)))
	fmt.Fprintln(w, s.head(fmt.Sprintf("     %-*s  Linux %s: %d bytes", besideWidth, fmt.Sprintf("bpfvm: %d bytes", p.Ours), release, p.Kernel)))
	rare := 0
	for _, l := range p.Slots {
		n, m := bytesIn(l.Ours), bytesIn(l.Kernel)
		if l.Rare {
			rare += n
		}
		title := l.Text
		if l.Slot >= 0 {
			title = fmt.Sprintf("%3d: %s", l.Slot, l.Text)
		} else {
			title = "     " + title
		}
		fmt.Fprintf(w, "%s%s\n", title, s.dim(fmt.Sprintf("   ; %d | %d", n, m)))
		for i := range max(len(l.Ours), len(l.Kernel)) {
			var left, right string
			if i < len(l.Ours) {
				left = l.Ours[i].Text
			}
			if i < len(l.Kernel) {
				right = l.Kernel[i].Text
			}
			fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("     %-*s  %s", besideWidth, left, right), " "))
		}
	}
	fmt.Fprintf(w, "bytes: %d of ours, %d of them out of the way; %d of the kernel's\n", p.Ours, rare, p.Kernel)
}

func bytesIn(rows []x86Row) (n int) {
	for _, r := range rows {
		n += (len(r.Bytes) + 1) / 3
	}
	return n
}
