package judge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// slot is one slot of a linked function in a form that does not depend on who
// linked it.
type slot struct {
	isa.Instruction
	// ref names what the instruction refers to: a map, a kernel symbol or, for
	// calls and addresses of functions, the function, whose place differs with the
	// order in which subprograms are appended. The immediate is then 0.
	ref string

	second   bool            // the second half of a wide instruction
	poisoned bool            // replaced because the target lacks something
	core     *spec.CoreReloc // ours: the relocation at this slot
	kernel   bool            // ours: the reference is to a kernel function or variable
}

func (s slot) String() string {
	text := fmt.Sprintf("op %#02x regs %#02x off %d imm %d", uint8(s.Op), s.Regs, s.Off, s.Imm)
	if s.ref != "" {
		text += " -> " + s.ref
	}
	return text
}

// badCore is the helper number that poisoned instructions have in both libraries
// (libbpf's relo_core.c, bpf_core_poison_insn).
const badCore = 0xbad2310

const kconfig = ".kconfig"

// ourFunctions returns a program's functions as bpfvm linked them.
func ourFunctions(p *spec.ProgramSpec) map[string][]slot {
	core := make(map[isa.PC]*spec.CoreReloc, len(p.Core))
	for i := range p.Core {
		core[p.Core[i].PC] = &p.Core[i]
	}
	out := make(map[string][]slot)
	for i, fn := range p.Funcs {
		end := isa.PC(len(p.Insns))
		if i+1 < len(p.Funcs) {
			end = p.Funcs[i+1].PC
		}
		slots := make([]slot, 0, end-fn.PC)
		wide := false
		for pc := fn.PC; pc < end; pc++ {
			s := slot{Instruction: p.Insns[pc], core: core[pc], second: wide}
			wide = !wide && s.IsWide()
			if s.core == nil && pc > fn.PC && s.Op == isa.OpCall && s.Imm == badCore {
				s.core = core[pc-1] // an LDDW becomes two calls
			}
			s.poisoned = s.core != nil && s.core.Poison
			if s.second && s.Op == 0 && len(slots) > 0 && slots[len(slots)-1].ref == kconfig {
				s.ref = kconfig
			}
			if r := p.RefAt(pc); r != nil {
				s.ref, s.kernel = r.Name, r.Kind == spec.RefKfunc || r.Kind == spec.RefKsym
				s.Imm = 0
			}
			if s.IsPseudoCall() || s.IsWide() && isa.Pseudo(s.Src()) == isa.PseudoFunc {
				if to := p.FuncAt(pc + 1 + isa.PC(s.Imm)); to != nil {
					s.ref, s.Imm = to.Name, 0
				}
			}
			slots = append(slots, s)
		}
		out[fn.Name] = slots
	}
	return out
}

// theirFunctions returns a program's functions as cilium/ebpf linked them, after
// it has applied CO-RE against the target.
func theirFunctions(p *ebpf.ProgramSpec, local, target *btf.Spec) (map[string][]slot, error) {
	insns := slices.Clone(p.Instructions)
	symbols := make([]string, len(insns)) // poisoning an instruction removes its symbol
	var relos []*btf.CORERelocation
	var at []int
	for i := range insns {
		symbols[i] = insns[i].Symbol()
		if r := btf.CORERelocationMetadata(&insns[i]); r != nil {
			relos, at = append(relos, r), append(at, i)
		}
	}
	if len(relos) > 0 {
		fixups, err := btf.CORERelocate(relos, []*btf.Spec{target}, binary.LittleEndian, local.TypeID)
		if err != nil {
			return nil, err
		}
		for i := range fixups {
			if err := fixups[i].Apply(&insns[at[i]]); err != nil {
				return nil, err
			}
		}
	}
	out := make(map[string][]slot)
	name := p.Name
	for i := range insns {
		if symbols[i] != "" {
			name = symbols[i]
		}
		slots, err := theirSlots(insns[i])
		if err != nil {
			return nil, err
		}
		out[name] = append(out[name], slots...)
	}
	return out, nil
}

// theirSlots encodes one of their instructions.
func theirSlots(in asm.Instruction) ([]slot, error) {
	ref := in.Reference()
	if in.OpCode.IsDWordLoad() && in.Src == asm.PseudoMapValue && ref == "" {
		ref = kconfig
	}
	poisoned := in.Constant == btf.COREBadRelocationSentinel
	var buf bytes.Buffer
	if _, err := in.Marshal(&buf, binary.LittleEndian); err != nil {
		return nil, fmt.Errorf("encode %v: %w", in, err)
	}
	code, err := isa.Decode(buf.Bytes())
	if err != nil {
		return nil, err
	}
	var out []slot
	for i, insn := range code {
		s := slot{Instruction: insn, second: i > 0, poisoned: poisoned}
		if i == 0 && ref != "" {
			s.ref, s.Imm = ref, 0
		}
		if i > 0 && ref != "" && in.Src == asm.PseudoFunc {
			s.Imm = 0
		}
		if ref == kconfig {
			s.ref = kconfig
		}
		out = append(out, s)
	}
	return out, nil
}

// sameName compares names of references. A kernel function has several flavours
// in an object, "f___v1"; one library keeps the suffix where the other does not.
func sameName(a, b string) bool {
	a, _, _ = strings.Cut(a, "___")
	b, _, _ = strings.Cut(b, "___")
	return a == b
}
