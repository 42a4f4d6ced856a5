package cli

import (
	"encoding/hex"
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
)

// opcodeTopics has one topic for each row of the opcode table.
func opcodeTopics() []topic {
	ops := isa.Ops()
	out := make([]topic, len(ops))
	for i := range ops {
		out[i] = opTopic(&ops[i])
	}
	return out
}

func opTopic(op *isa.Op) topic {
	t := topic{Group: "opcodes", Name: op.Name, Title: syntaxText(op.Syntax), Text: op.Doc}
	t.add("opcode", fmt.Sprintf("%#02x  %s", uint8(op.Opcode), opcodeParts(op.Opcode)))
	t.add("dst", ruleText(op.Dst))
	t.add("src", ruleText(op.Src))
	t.add("off", ruleText(op.Off))
	t.add("imm", ruleText(op.Imm))
	if op.IsWide() {
		t.add("next imm", ruleText(op.Next))
		t.add("slots", "2")
	}
	t.add("group", groupText(op.Group))
	t.add("since", sinceText(op.Since))
	if op.Linux {
		t.add("Linux "+targetKernel, "accepts it")
	} else {
		t.add("Linux "+targetKernel, "refuses it")
	}
	code := fmt.Sprintf("%#02x", uint8(op.Opcode))
	t.aliases = []string{code, code[2:]}
	return t
}

// syntaxText shows a row's syntax with the registers as letters: "rD += rS".
func syntaxText(s string) string {
	return strings.NewReplacer("{dst}", "D", "{src}", "S", "{imm}", "IMM", "{imm:x}", "IMM", "{imm64}", "IMM64", "{off}", "+OFF",
		"{jump}", "TARGET", "{next}", "NEXT", "{func}", "FUNCTION", "{helper}", "HELPER", "{kfunc}", " KFUNC", "{subprog}", "func[NAME]").Replace(s)
}

// opcodeParts names the fields of an opcode.
func opcodeParts(o isa.Opcode) string {
	c := o.Class()
	classes := [...]string{"LD", "LDX", "ST", "STX", "ALU", "JMP", "JMP32", "ALU64"}
	if c.IsALU() || c.IsJump() {
		src := "K"
		if o.Source() == isa.SrcX {
			src = "X"
		}
		return fmt.Sprintf("class %s, code %#x, source %s", classes[c], uint8(o.Code()), src)
	}
	modes := map[isa.Mode]string{isa.ModeIMM: "IMM", isa.ModeABS: "ABS", isa.ModeIND: "IND", isa.ModeMEM: "MEM",
		isa.ModeMEMSX: "MEMSX", isa.ModeATOMIC: "ATOMIC"}
	return fmt.Sprintf("class %s, mode %s, %s wide", classes[c], modes[o.Mode()], plural(o.Size().Bytes(), "byte"))
}

func ruleText(f isa.Field) string {
	switch f.Rule {
	case isa.RuleNone:
		return ""
	case isa.RuleZero:
		return "0, reserved"
	case isa.RuleFixed:
		return fmt.Sprintf("%d, part of the opcode", f.Value)
	case isa.RuleRead:
		return "register, read"
	case isa.RuleWrite:
		return "register, written"
	case isa.RuleReadWrite:
		return "register, read and written"
	case isa.RuleAny:
		return "any value"
	case isa.RuleJump:
		return "distance in slots from the next one"
	}
	return f.String()
}

func groupText(g isa.Group) string {
	switch g {
	case isa.GroupLinux:
		return "linux: not in RFC 9669"
	case isa.GroupCallX:
		return "callx: not in RFC 9669"
	}
	return string(g) + " (RFC 9669, section 2.4)"
}

func sinceText(s string) string {
	if s == "linux" {
		return "defined by the kernel"
	}
	return "clang -mcpu=" + s
}

// instructionTopic explains an instruction written in assembly or as hex bytes.
func instructionTopic(text string) (topic, bool) {
	prog, ok := parseInstruction(text)
	if !ok {
		return topic{}, false
	}
	op, ok := isa.Lookup(prog[0])
	if !ok {
		return topic{}, false
	}
	t := opTopic(op)
	pr := &isa.Printer{HelperName: spec.HelperName}
	t.aliases = nil
	t.Code = []string{pr.Insn(prog, 0)}
	for i, ins := range prog {
		t.Code = append(t.Code, fmt.Sprintf("slot %d  % x  opcode %#02x  dst %d  src %d  off %d  imm %d",
			i, isa.Encode(prog[i:i+1]), uint8(ins.Op), ins.Dst(), ins.Src(), ins.Off, ins.Imm))
	}
	return t, true
}

func parseInstruction(text string) (isa.Program, bool) {
	if b, err := hex.DecodeString(strings.ReplaceAll(text, " ", "")); err == nil && (len(b) == 8 || len(b) == 16) {
		p, err := isa.Decode(b)
		return p, err == nil
	}
	// A single word is a name that nobody knows, unless it is an instruction.
	if !strings.ContainsAny(text, " =") && text != "exit" && text != "may_goto" {
		return nil, false
	}
	u, err := assemble("", []byte(text))
	if err != nil || len(u.Sections) != 1 {
		return nil, false
	}
	p := u.Sections[0].Insns
	want := 1
	if len(p) > 0 && p[0].IsWide() {
		want = 2
	}
	return p, len(p) == want
}
