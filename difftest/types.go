package difftest

import (
	"encoding/binary"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Kinds of BTF types (include/uapi/linux/btf.h).
const (
	btfInt       = 1
	btfFunc      = 12
	btfFuncProto = 13
)

// addTypes gives the functions of programs that take a function's address types, as a
// compiler would: no kernel takes such a program without ("missing btf func_info",
// verifier.c: check_ld_imm). Each is a static "long f(void)". Collections that have
// function types already stay as they are.
func addTypes(cs *spec.CollectionSpec) {
	wanted := false
	for _, p := range cs.Programs {
		for _, f := range p.Funcs {
			if f.TypeID != 0 {
				return
			}
		}
		for _, ins := range p.Insns.All() {
			wanted = wanted || ins.IsWide() && isa.Pseudo(ins.Src()) == isa.PseudoFunc
		}
	}
	if !wanted {
		return
	}
	le := binary.LittleEndian
	names := []byte("\x00long\x00")
	var types []byte
	add := func(name, kind, sizeOrType uint32, more ...uint32) {
		for _, v := range append([]uint32{name, kind << 24, sizeOrType}, more...) {
			types = le.AppendUint32(types, v)
		}
	}
	add(1, btfInt, 8, 1<<24|64) // signed, 64 bits
	add(0, btfFuncProto, 1)
	next := uint32(3)
	for _, p := range cs.Programs {
		for i := range p.Funcs {
			add(uint32(len(names)), btfFunc, 2)
			names = append(append(names, p.Funcs[i].Name...), 0)
			p.Funcs[i].TypeID = next
			next++
		}
	}
	head := le.AppendUint16(nil, 0xeb9f) // BTF_MAGIC
	head = append(head, 1, 0)            // version, flags
	for _, v := range []int{24, 0, len(types), len(types), len(names)} {
		head = le.AppendUint32(head, uint32(v))
	}
	cs.BTF = append(append(head, types...), names...)
	for _, m := range cs.Maps { // their types were in what has been replaced
		m.KeyTypeID, m.ValueTypeID = 0, 0
	}
}
