package elf

import (
	"fmt"
	"math"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// badCoreHelper is the helper number that a poisoned instruction calls: 0xbad2310
// reads as "bad relo", and the verifier's "invalid func unknown#195896080" tells
// that the program got to an access that this kernel cannot serve (relo_core.c,
// bpf_core_poison_insn).
const badCoreHelper = 0xbad2310

// calc computes what the instruction holds and what it shall hold (relo_core.c,
// bpf_core_calc_relo). A nil target means that none matches.
func (c *coreResolver) calc(kind coreKind, local, target *coreSpec) (coreResult, error) {
	switch {
	case kind.isField():
		return c.calcField(kind, local, target)
	case kind.isEnumval():
		return calcEnumval(kind, local, target), nil
	}
	return c.calcType(kind, local, target)
}

// fieldValue is one side of a relocation of a member.
type fieldValue struct {
	val      uint64
	size     uint32   // of the member, for loads and stores; 0 for bitfields
	typ      btf.Type // of the member
	bitfield bool
}

func (c *coreResolver) calcField(kind coreKind, local, target *coreSpec) (coreResult, error) {
	old, err := fieldOf(kind, local)
	if err != nil {
		return coreResult{}, err
	}
	// A bitfield may be loaded in several ways, and the compiler's may differ from
	// ours; only its sign and width are certain.
	res := coreResult{before: old.val, validate: !old.bitfield || kind == coreSigned || kind == coreRShift}
	if kind == coreFieldExists {
		res.validate = true
		if target != nil {
			res.after = 1
		}
		return res, nil
	}
	if target == nil {
		res.poison = true
		return res, nil
	}
	now, err := fieldOf(kind, target)
	if err != nil {
		return coreResult{}, err
	}
	res.after, res.oldSize, res.newSize = now.val, old.size, now.size
	// A load may change its size where zero extension keeps the value: pointers,
	// which have 8 bytes in BPF and 4 on a 32-bit kernel, and unsigned integers.
	res.badSize = old.size != now.size && !(isPointer(old.typ) && isPointer(now.typ)) &&
		!(isUnsigned(old.typ) && isUnsigned(now.typ))
	return res, nil
}

func isPointer(t btf.Type) bool {
	_, ok := t.(*btf.Pointer)
	return ok
}

func isUnsigned(t btf.Type) bool {
	i, ok := t.(*btf.Int)
	return ok && i.Encoding != btf.Signed
}

// fieldOf computes one side (relo_core.c, bpf_core_calc_field_relo).
func fieldOf(kind coreKind, s *coreSpec) (fieldValue, error) {
	if kind == coreFieldExists {
		return fieldValue{val: 1}, nil
	}
	last := s.steps[len(s.steps)-1]
	if last.name == "" {
		size, err := btf.Sizeof(last.typ)
		if err != nil || size < 0 || int64(size) > math.MaxUint32 {
			return fieldValue{}, formatErr("size of %s is unknown", typeText(last.typ))
		}
		switch kind {
		case coreByteOff:
			return fieldValue{val: s.bits / 8, size: uint32(size), typ: last.typ}, nil
		case coreByteSize:
			return fieldValue{val: uint64(size), typ: last.typ}, nil
		}
		return fieldValue{}, formatErr("%v of an array element", kind)
	}

	m := last.member()
	typ := btf.UnderlyingType(m.Type)
	n, err := btf.Sizeof(typ)
	if err != nil || n < 0 || int64(n) > math.MaxUint32 {
		return fieldValue{}, formatErr("size of %s is unknown", typeText(typ))
	}
	v := fieldValue{typ: typ, bitfield: m.BitfieldSize > 0}
	size, off := uint64(n), s.bits/8
	width := size * 8
	if v.bitfield {
		width = uint64(m.BitfieldSize)
		if size == 0 || size > 8 || width > 64 {
			return fieldValue{}, formatErr("bitfield of %d bits in %d bytes", width, size)
		}
		// The smallest aligned integer that holds all bits, from the declared
		// type's size upwards.
		for off = s.bits / 8 / size * size; s.bits+width-off*8 > size*8; off = s.bits / 8 / size * size {
			if size >= 8 {
				return fieldValue{}, formatErr("bitfield that no load of 8 bytes holds")
			}
			size *= 2
		}
	}
	switch kind {
	case coreByteOff:
		v.val = off
		if !v.bitfield {
			v.size = uint32(size)
		}
	case coreByteSize:
		v.val = size
	case coreSigned:
		switch t := typ.(type) {
		case *btf.Int:
			v.val = boolBit(t.Encoding == btf.Signed)
		case *btf.Enum:
			v.val = boolBit(t.Signed)
		}
	case coreLShift:
		v.val = 64 - (s.bits + width - off*8)
	case coreRShift:
		v.val = 64 - width
	}
	return v, nil
}

func boolBit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// calcType computes relocations of whole types; all of them are 0 where the
// target has no such type (relo_core.c, bpf_core_calc_type_relo).
func (c *coreResolver) calcType(kind coreKind, local, target *coreSpec) (coreResult, error) {
	res := coreResult{validate: true}
	switch kind {
	case coreTypeExists, coreTypeMatches:
		res.before = 1
		if target != nil {
			res.after = 1
		}
	case coreTypeIDTarget:
		// The compiler wrote an id of its own types, which linking may change.
		res.validate = false
		id, err := c.local.TypeID(local.root)
		if err != nil {
			return res, formatErr("%v", err)
		}
		res.before = uint64(id)
		if target != nil {
			if id, err = c.target.TypeID(target.root); err != nil {
				return res, formatErr("%v", err)
			}
			res.after = uint64(id)
		}
	case coreTypeSize:
		n, err := btf.Sizeof(local.root)
		if err != nil || n < 0 {
			return res, formatErr("size of %s is unknown", typeText(local.root))
		}
		res.before = uint64(n)
		if target != nil {
			if n, err = btf.Sizeof(target.root); err != nil || n < 0 {
				return res, formatErr("size of the target's %s is unknown", typeText(target.root))
			}
			res.after = uint64(n)
		}
	}
	return res, nil
}

// calcEnumval computes relocations of enumerators (relo_core.c,
// bpf_core_calc_enumval_relo).
func calcEnumval(kind coreKind, local, target *coreSpec) coreResult {
	value := func(s *coreSpec) uint64 { return s.steps[0].typ.(*btf.Enum).Values[s.steps[0].idx].Value }
	res := coreResult{validate: true}
	switch {
	case kind == coreEnumvalExists:
		res.before, res.after = 1, boolBit(target != nil)
	case target == nil:
		res.before, res.poison = value(local), true
	default:
		res.before, res.after = value(local), value(target)
	}
	return res
}

// applyCore corrects the instructions of a function.
func (l *loader) applyCore(fn *function) error {
	if l.ext == nil {
		return nil
	}
	list := within(l.ext.core[fn.sec.Index], fn.off, fn.off+fn.size, func(r *coreRelo) uint64 { return r.off })
	for _, r := range list {
		pc := isa.PC((r.off - fn.off) / isa.SlotSize)
		if r.err != nil {
			return &insnError{pc, "", r.err}
		}
		res := r.res
		if err := patch(fn.code, pc, &res); err != nil {
			return &insnError{pc, "", fmt.Errorf("CO-RE %v of %s: %w", r.kind, shortName(res.path), err)}
		}
		fn.core = append(fn.core, spec.CoreReloc{
			PC: pc, Kind: r.kind.String(), Type: res.typeName, Path: res.path,
			Before: res.before, After: res.after, Note: res.note, Poison: res.poison,
		})
	}
	return nil
}

// patch corrects one instruction (relo_core.c, bpf_core_patch_insn). It may be a
// load or store, whose offset and size change; arithmetic with an immediate; or
// an LDDW.
func patch(code isa.Program, pc isa.PC, res *coreResult) error {
	insn := &code[pc]
	switch class := insn.Op.Class(); {
	case class.IsALU():
		if insn.Op.Source() != isa.SrcK {
			return formatErr("instruction without an immediate")
		}
		if res.poison {
			poison(code, pc, 1)
			return nil
		}
		if res.validate && insn.Imm != int32(res.before) {
			return formatErr("immediate is %d, expected %d", insn.Imm, int32(res.before))
		}
		if res.after > math.MaxUint32 && int64(res.after)>>31 != -1 {
			return formatErr("new value %#x does not fit in 32 bits", res.after)
		}
		insn.Imm = int32(uint32(res.after))
	case class == isa.ClassLDX || class == isa.ClassST || class == isa.ClassSTX:
		if res.poison {
			poison(code, pc, 1)
			return nil
		}
		if res.validate && int64(insn.Off) != int64(res.before) {
			return formatErr("offset is %d, expected %d", insn.Off, res.before)
		}
		if res.after > math.MaxInt16 {
			return formatErr("new offset %d does not fit in 16 bits", res.after)
		}
		if res.badSize {
			res.poison = true
			res.note = fmt.Sprintf("the member has %d bytes in the target, not %d, and is neither pointer nor unsigned", res.newSize, res.oldSize)
			poison(code, pc, 1)
			return nil
		}
		if res.oldSize != res.newSize {
			if got := insn.Op.Size().Bytes(); uint32(got) != res.oldSize {
				return formatErr("access of %d bytes to a member of %d", got, res.oldSize)
			}
			size, ok := sizeBits(res.newSize)
			if !ok {
				return formatErr("access to a member of %d bytes", res.newSize)
			}
			insn.Op = isa.MemOp(class, insn.Op.Mode(), size)
		}
		insn.Off = int16(res.after)
	case insn.IsWide():
		second := isa.PC(pc + 1)
		if int(second) >= len(code) || insn.Src() != 0 || insn.Off != 0 ||
			code[second].Op != 0 || code[second].Regs != 0 || code[second].Off != 0 {
			return formatErr("wide instruction of unexpected form")
		}
		if res.poison {
			poison(code, pc, 2)
			return nil
		}
		if imm, _ := code.Imm64(pc); res.validate && imm != res.before {
			return formatErr("immediate is %#x, expected %#x", imm, res.before)
		}
		code.SetImm64(pc, res.after)
	default:
		return formatErr("opcode %#02x holds no value to correct", uint8(insn.Op))
	}
	return nil
}

func sizeBits(n uint32) (isa.Size, bool) {
	switch n {
	case 1:
		return isa.SizeB, true
	case 2:
		return isa.SizeH, true
	case 4:
		return isa.SizeW, true
	case 8:
		return isa.SizeDW, true
	}
	return 0, false
}

// poison replaces n slots by calls that the verifier refuses.
func poison(code isa.Program, pc isa.PC, n int) {
	for i := range n {
		code[int(pc)+i] = isa.Instruction{Op: isa.OpCall, Imm: badCoreHelper}
	}
}
