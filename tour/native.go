package tour

import (
	"fmt"
	"strings"

	"bpfvm/jit/amd64"
)

// maxNative bounds the lines of machine code that are shown.
const maxNative = 34

// registerMap is the kernel's own (arch/x86/net/bpf_jit_comp.c, reg2hex), which the
// compiler keeps so that listings can be laid side by side.
const registerMap = "r0 rax  r1 rdi  r2 rsi  r3 rdx  r4 rcx  r5 r8  r6 rbx  r7 r13  r8 r14  r9 r15  r10 rbp"

func (b *builder) jit() {
	s := b.stop("Machine code", "bpf_prog_select_runtime", "bpf_int_jit_compile", "do_jit")
	l := b.live()
	if l.code == nil {
		s.note("It could not be loaded: %v.", l.err)
		return
	}
	p, err := amd64.Compile(l.code, amd64.Options{})
	if err != nil {
		s.note("The compiler cannot serve it, so the interpreter runs it: %v.", err)
		return
	}
	pr := b.prog.Printer()
	lines, err := p.Listing(pr)
	if err != nil {
		s.note("%v.", err)
		return
	}
	s.text("The kernel's compiler goes from instruction to instruction and emits x86-64 for each; bpf_func then points to "+
		"the result instead of to the interpreter. bpfvm's compiler keeps the kernel's registers: %s bytes in all, "+
		"for %s.", fmt.Sprint(p.Size()), plural(len(l.code.Insns), "slot"))
	s.code(wrap(strings.ReplaceAll(registerMap, "  ", "\x00"), "   ", Width-6)...)
	var out []string
	for _, ln := range lines {
		left := "entry"
		switch {
		case ln.PC >= 0:
			left = fmt.Sprintf("%d: %s", ln.PC, ln.Text)
		case len(out) > 0:
			left = "way out"
		}
		for i, x := range ln.X86 {
			if i > 0 {
				left = ""
			}
			if len(out) == maxNative {
				out = append(out, "..")
				s.code(out...)
				s.text("The lines between are bpfvm's own: every address is cut to 32 bits and added to the base of its " +
					"arena, and what nobody has proven is checked, so that no program can reach the memory of the host.")
				return
			}
			out = append(out, fmt.Sprintf("%-32s %4x  %s", clip(left, 32, true), x.Addr, clip(x.Text, 37, true)))
		}
	}
	s.code(out...)
}
