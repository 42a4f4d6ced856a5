package tour

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/verifier"
)

func (b *builder) attributes() {
	s := b.stop("The system call", "bpf_load_program", "bpf(BPF_PROG_LOAD)", "bpf_prog_load")
	p := b.prog
	s.text("All of that becomes one system call. The kernel copies %s into a struct bpf_prog of its own; "+
		"from here on the file is not needed.", plural(len(p.Insns), "instruction slot"))
	rows := [][]string{
		{"prog_type", fmt.Sprint(uint32(p.Type)), p.Type.Info().Kernel},
		{"insn_cnt", fmt.Sprint(len(p.Insns)), fmt.Sprintf("slots of 8 bytes, %d bytes in all", isa.SlotSize*len(p.Insns))},
		{"insns", "pointer", "the relocated instructions"},
		{"license", fmt.Sprintf("%q", p.License), ""},
		{"kern_version", fmt.Sprintf("%#x", p.Version), versionText(p.Version)},
		{"prog_flags", fmt.Sprintf("%#x", p.Flags), ""},
		{"prog_name", fmt.Sprintf("%q", objName(p.Name)), fmt.Sprintf("at most %d bytes", spec.MaxNameLen-1)},
	}
	if p.Attach != 0 {
		rows = append(rows, []string{"expected_attach_type", fmt.Sprint(uint32(p.Attach)), p.Attach.String()})
	}
	if len(b.coll.BTF) > 0 {
		rows = append(rows,
			[]string{"prog_btf_fd", "fd", fmt.Sprintf("of %d bytes of types", len(b.coll.BTF))},
			[]string{"func_info_cnt", fmt.Sprint(len(p.Funcs)), "functions with their types"},
			[]string{"line_info_cnt", fmt.Sprint(len(p.Lines)), "C lines, which the log then shows"})
	}
	s.table([]string{"attribute", "value", "meaning"}, rows)
}

// objName is a name as the kernel keeps it (BPF_OBJ_NAME_LEN with its NUL).
func objName(name string) string { return name[:min(len(name), spec.MaxNameLen-1)] }

// firstInsns is how many instructions are shown field by field.
const firstInsns = 6

func (b *builder) instructions() {
	s := b.stop("The first bpf_insns, bit by bit", "struct bpf_insn")
	p := b.prog
	pr := p.Printer()
	ins := p.Insns[0]
	raw := isa.Encode(p.Insns[:1])
	s.code(append(diagram(ins, raw), b.anatomy(ins)...)...)
	if text := b.meaning(ins); text != "" {
		s.text("%s", text)
	}
	var rows [][]string
	for pc, ins := range p.Insns.All() {
		if len(rows) == firstInsns {
			break
		}
		rows = append(rows, []string{fmt.Sprint(pc), fmt.Sprintf("%02x", uint8(ins.Op)), fmt.Sprint(uint8(ins.Dst())),
			fmt.Sprint(uint8(ins.Src())), fmt.Sprint(ins.Off), fmt.Sprint(ins.Imm), pr.Insn(p.Insns, pc)})
	}
	s.table([]string{">slot", "code", ">dst", ">src", ">off", ">imm", "means"}, rows)
}

// diagram draws the eight bytes of an instruction.
func diagram(ins isa.Instruction, raw []byte) []string {
	return []string{
		fmt.Sprintf("bytes   %02x          %02x              %02x %02x              %02x %02x %02x %02x",
			raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], raw[6], raw[7]),
		"      +-----------+-----------+-------------------+----------------------+",
		fmt.Sprintf("      | code 0x%02x | src %d dst %-2d| off %-13d | imm %-16d |",
			uint8(ins.Op), ins.Src(), ins.Dst(), ins.Off, ins.Imm),
		"      +-----------+-----------+-------------------+----------------------+",
		"bits  8           4     4     16, signed          32, signed",
	}
}

var (
	classNames = [8]string{"LD", "LDX", "ST", "STX", "ALU", "JMP", "JMP32", "ALU64"}
	modeNames  = map[isa.Mode]string{isa.ModeIMM: "IMM", isa.ModeABS: "ABS", isa.ModeIND: "IND", isa.ModeMEM: "MEM",
		isa.ModeMEMSX: "MEMSX", isa.ModeATOMIC: "ATOMIC"}
)

// anatomy takes the opcode apart.
func (b *builder) anatomy(ins isa.Instruction) []string {
	bits := fmt.Sprintf("%08b", uint8(ins.Op))
	class := ins.Op.Class()
	name := "?"
	if op, ok := isa.Lookup(ins); ok {
		name = op.Name
	}
	lines := []string{"", fmt.Sprintf("code  %s %s  %s", bits[:4], bits[4:], name)}
	classLine := fmt.Sprintf("      .... .%s  class %s", bits[5:], classNames[class])
	if class.IsMem() {
		return append(lines,
			fmt.Sprintf("      %s. ....  mode %s", bits[:3], modeNames[ins.Op.Mode()]),
			fmt.Sprintf("      ...%s %s...  size %s", bits[3:4], bits[4:5], plural(ins.Op.Size().Bytes(), "byte")),
			classLine)
	}
	src := "K: the second operand is imm"
	if ins.Op.Source() == isa.SrcX {
		src = "X: the second operand is src"
	}
	return append(lines,
		fmt.Sprintf("      %s ....  operation", bits[:4]),
		fmt.Sprintf("      .... %s...  source %s", bits[4:5], src),
		classLine)
}

// meaning says what the first instruction does where it reads the context.
func (b *builder) meaning(ins isa.Instruction) string {
	ctx := b.prog.Type.Ctx()
	if b.prog.Type == spec.ProgTracepoint {
		ctx = spec.Tracepoint(b.prog.AttachTo)
	}
	if ctx == nil || ins.Op.Class() != isa.ClassLDX || ins.Src() != isa.R1 || ins.Off < 0 {
		return ""
	}
	f := ctx.FieldAt(uint32(ins.Off))
	if f == nil {
		return ""
	}
	return fmt.Sprintf("r1 is the context, and offset %d of struct %s is its field %s (%s).", ins.Off, ctx.Name, f.Name, f.CType)
}

// maxLog bounds the lines of the verifier's log that are shown.
const maxLog = 12

func (b *builder) verify() {
	s := b.stop("The verifier", "bpf_check", "do_check")
	rep, err := verifier.Verify(b.prog, verifier.Options{Maps: b.coll.Maps, BTF: b.coll.BTF, LogLevel: verifier.LogLevel2, NoFacts: true})
	if err != nil {
		s.note("The verifier cannot look at it: %v.", err)
		return
	}
	s.text("Before a program may run, the verifier follows every path through it and writes down what each " +
		"register can hold. Its log begins:")
	var lines []string
	for l := range strings.Lines(rep.Log) {
		l = strings.TrimRight(l, "\n")
		if len(lines) == 0 && !strings.HasPrefix(l, "0:") { // what precedes is about the whole program
			continue
		}
		if len(lines) < maxLog {
			lines = append(lines, l)
		}
	}
	s.code(lines...)
	switch rep.Verdict {
	case verifier.Accepted:
		s.text("Accepted: %s processed, %d states kept at most, stack depth %s.",
			plural(rep.Processed, "instruction"), rep.PeakStates, depths(rep.StackDepths))
	case verifier.Rejected:
		s.text("Rejected at slot %d (%s): %s", rep.PC, rep.Code, rep.Message)
		s.note("A kernel stops here. The stops below show what happens in bpfvm, where the checked interpreter " +
			"runs rejected programs too.")
	default:
		s.note("Not decided: %s is not modelled.", rep.Feature)
	}
}

// depths prints stack depths as the log does: "48" or "48+16".
func depths(d []int) string {
	var w []string
	for _, n := range d {
		w = append(w, fmt.Sprint(n))
	}
	return strings.Join(w, "+") + " bytes"
}

// Tag is the name that Linux 6.18 gives to a program's code: the first eight bytes
// of the SHA-256 of its instructions as they were loaded, with the numbers of maps
// taken out (kernel/bpf/core.c, bpf_prog_calc_tag).
func Tag(p isa.Program) string {
	sum := sha256.Sum256(tagged(p))
	return hex.EncodeToString(sum[:8])
}

// OldTag is the tag of earlier kernels, which take the SHA-1.
func OldTag(p isa.Program) string {
	sum := sha1.Sum(tagged(p))
	return hex.EncodeToString(sum[:8])
}

// tagged is what tags are made of.
func tagged(p isa.Program) []byte {
	clean := slices.Clone(p)
	for pc, ins := range clean {
		kind := isa.Pseudo(ins.Src())
		if ins.IsWide() && (kind == isa.PseudoMapFD || kind == isa.PseudoMapValue) && pc+1 < len(clean) {
			clean[pc].Imm, clean[pc+1].Imm = 0, 0
		}
	}
	return isa.Encode(clean)
}

func (b *builder) kallsyms() {
	s := b.stop("A name for the code", "bpf_prog_calc_tag", "bpf_prog_kallsyms_add", "bpf_get_prog_name")
	tag := Tag(b.prog.Insns)
	name := b.prog.Name
	if len(b.prog.Funcs) == 0 || b.prog.Funcs[0].TypeID == 0 {
		name = objName(name) // without BTF the kernel knows the short form only
	}
	s.text("The image gets a symbol, so that stack traces, perf and /proc/kallsyms can name it: the tag is the " +
		"beginning of the SHA-1 of the instructions, with the map numbers taken out. The same code has the same tag " +
		"on every machine.")
	s.code(fmt.Sprintf("SHA-1(%s)[:8]  =  %s", plural(len(b.prog.Insns), "slot"), tag),
		fmt.Sprintf("/proc/kallsyms        t bpf_prog_%s_%s [bpf]", tag, name))
}
