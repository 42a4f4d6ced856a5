package isa

import (
	"regexp"
	"strings"
)

// Dumps and logs can be pasted into a source. What they print around the
// instructions is blanked out here; their slot numbers and opcodes are read by
// parser.dumpPrefix.

// dumpNoise matches lines that hold no instruction.
var dumpNoise = regexp.MustCompile(`^\s*(` + strings.Join([]string{
	// The verifier's log (kernel/bpf/log.c, verifier.c and liveness.c).
	`(from \d+ to )?(\d+: )?(frame\d+: ?)?R\d+(_\w+)?=.*`,
	`(from \d+ to )?\d+: (safe|frame\d+:.*)`,
	`frame\d+:`,
	`func#\d+ @\d+`,
	`(Live regs before insn|returning from callee|to caller at \d+):`,
	`(mark_precise|last_idx|regs=|parent state|verification time|stack depth|processed \d+ insns)\b.*`,
	`\(\d+\) (frame \d+ insn|live stack).*`,
	// llvm-objdump -d and bpftool prog dump.
	`Disassembly of section .*:`,
	`\S+:\s+file format elf64-bpf.*`,
	`[0-9a-f]{16} <.*>:`,
	`[a-z_][\w *]*\(.*\):`,
	`([0-9a-f]{2} ){7}[0-9a-f]{2}( ([0-9a-f]{2} ){7}[0-9a-f]{2})?`,
}, "|") + `)\s*$`)

// liveRegs matches the register columns of "Live regs before insn", and hexBytes
// the bytes that llvm-objdump prints between slot number and instruction.
var (
	liveRegs = regexp.MustCompile(`^\s*\d+:(\s[0-9.]{10}\s)\(`)
	hexBytes = regexp.MustCompile(`^\s*\d+:(\s+([0-9a-f]{2} ){7}[0-9a-f]{2}( ([0-9a-f]{2} ){7}[0-9a-f]{2})?)\s`)
)

// blankDump removes from a line what only a dump has. It returns "" where
// nothing remains; columns stay where they are.
func blankDump(text string) string {
	if dumpNoise.MatchString(text) {
		return ""
	}
	for _, re := range []*regexp.Regexp{liveRegs, hexBytes} {
		if m := re.FindStringSubmatchIndex(text); m != nil {
			return text[:m[2]] + strings.Repeat(" ", m[3]-m[2]) + text[m[3]:]
		}
	}
	return text
}

// dumpPrefix takes the "12:" and "(b7)" that dumps put before an instruction.
func (p *parser) dumpPrefix() {
	if t := p.peek(); t.kind == tokNumber && p.toks[p.pos+1].is(":") {
		p.st.number = t
		p.pos += 2
	}
	if !p.peek().is("(") {
		return
	}
	if code := p.toks[p.pos+1]; len(code.text) == 2 && strings.Trim(code.text, "0123456789abcdef") == "" && p.toks[p.pos+2].is(")") {
		p.st.prefix = code
		p.pos += 3
	}
}

// checkPrefix compares the opcode that the dump printed with the one that the
// text assembled to.
func (p *parser) checkPrefix() {
	t := p.st.prefix
	if t.text == "" || len(p.st.slots) == 0 {
		return
	}
	if got := p.st.slots[0].Op; t.text != hexByte(uint8(got)) {
		p.fail(t, "the dump says opcode (%s), but this text is (%s)", t.text, hexByte(uint8(got)))
	}
}

func hexByte(b uint8) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}
