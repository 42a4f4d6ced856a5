package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
)

// The kernel takes BTF that a linker has finished; what a compiler leaves in an
// object it refuses: variables and functions that are defined elsewhere, sections
// of unknown size. libbpf changes such types in place, so that ids stay
// (tools/lib/bpf/libbpf.c, bpf_object__collect_externs, btf_fixup_datasec), and so
// do we. Sections that package elf could place are left alone.

// BTF kinds (include/uapi/linux/btf.h).
const (
	btfInt       = 1
	btfArray     = 3
	btfStruct    = 4
	btfUnion     = 5
	btfEnum      = 6
	btfFunc      = 12
	btfFuncProto = 13
	btfVar       = 14
	btfDatasec   = 15
	btfDeclTag   = 17
	btfEnum64    = 19

	btfMagic      = 0xeb9f
	btfHeaderSize = 24 // struct btf_header
	btfTypeSize   = 12 // struct btf_type

	linkageGlobal = 1 // BTF_FUNC_GLOBAL, BTF_VAR_GLOBAL_ALLOCATED
	linkageExtern = 2 // BTF_FUNC_EXTERN, BTF_VAR_GLOBAL_EXTERN
)

// typesBlob is an object's BTF on its way to the kernel.
type typesBlob struct {
	types   []byte
	strings []byte
	index   map[string]uint32 // offsets of strings, filled on demand
	at      []uint32          // offset in types of each type; entry 0 is void
}

// parseTypes takes BTF apart and makes it acceptable.
func parseTypes(raw []byte) (*typesBlob, error) {
	le := binary.LittleEndian
	if len(raw) < btfHeaderSize || le.Uint16(raw) != btfMagic {
		return nil, fmt.Errorf("BTF: no little-endian header in %d bytes", len(raw))
	}
	part := func(off, size uint32) ([]byte, error) {
		from := uint64(le.Uint32(raw[4:])) + uint64(off)
		if from+uint64(size) > uint64(len(raw)) {
			return nil, fmt.Errorf("BTF: %#x bytes at %#x are not in the %#x bytes there are", size, from, len(raw))
		}
		return bytes.Clone(raw[from:][:size]), nil
	}
	b := &typesBlob{at: []uint32{0}}
	var err error
	if b.types, err = part(le.Uint32(raw[8:]), le.Uint32(raw[12:])); err != nil {
		return nil, err
	}
	if b.strings, err = part(le.Uint32(raw[16:]), le.Uint32(raw[20:])); err != nil {
		return nil, err
	}
	for off := 0; off < len(b.types); {
		if len(b.types)-off < btfTypeSize {
			return nil, fmt.Errorf("BTF: type %d is cut off", len(b.at))
		}
		size := btfTypeSize + tailSize(le.Uint32(b.types[off+4:]))
		if size > len(b.types)-off {
			return nil, fmt.Errorf("BTF: type %d is cut off", len(b.at))
		}
		b.at = append(b.at, uint32(off))
		off += size
	}
	b.sanitise()
	return b, nil
}

// tailSize returns how many bytes follow a struct btf_type with this info.
func tailSize(info uint32) int {
	n := int(info & 0xffff)
	switch info >> 24 & 0x1f {
	case btfInt, btfVar, btfDeclTag:
		return 4
	case btfArray:
		return 12
	case btfStruct, btfUnion, btfDatasec, btfEnum64:
		return 12 * n
	case btfEnum, btfFuncProto:
		return 8 * n
	}
	return 0
}

// typ returns the bytes from a type on, and its kind; nil for an id without type.
func (b *typesBlob) typ(id uint32) ([]byte, uint32) {
	if id == 0 || uint64(id) >= uint64(len(b.at)) {
		return nil, 0
	}
	t := b.types[b.at[id]:]
	return t, binary.LittleEndian.Uint32(t[4:]) >> 24 & 0x1f
}

// sanitise rewrites what the kernel would refuse. It appends an integer type
// where it needs one, which changes no id.
func (b *typesBlob) sanitise() {
	le := binary.LittleEndian
	intID := uint32(0)
	needInt := func() uint32 {
		if intID == 0 {
			intID = uint32(len(b.at))
			b.at = append(b.at, uint32(len(b.types)))
			b.types = le.AppendUint32(b.types, b.str("int"))
			b.types = le.AppendUint32(b.types, btfInt<<24)
			b.types = le.AppendUint32(b.types, 4)
			b.types = le.AppendUint32(b.types, 1<<24|32) // BTF_INT_SIGNED, 32 bits
		}
		return intID
	}
	for id := uint32(1); id < uint32(len(b.at)); id++ {
		t, kind := b.typ(id)
		info := le.Uint32(t[4:])
		switch kind {
		case btfVar:
			if le.Uint32(t[btfTypeSize:]) == linkageExtern {
				le.PutUint32(t[btfTypeSize:], linkageGlobal)
				n := needInt() // the type may be void, or one without a size
				t, _ = b.typ(id)
				le.PutUint32(t[8:], n)
			}
		case btfFunc:
			if info&0xffff == linkageExtern {
				le.PutUint32(t[4:], info&^0xffff|linkageGlobal)
				b.nameParams(le.Uint32(t[8:]))
			}
		case btfDatasec:
			if !b.placed(t) {
				n := needInt()
				t, _ = b.typ(id)
				asStruct(t, n)
			}
		}
	}
}

// makeStatic says of a function that it is verified as part of its callers, as
// libbpf does for functions that are hidden (libbpf.c,
// bpf_object__sanitize_btf and bpf_object__load_btf).
func (b *typesBlob) makeStatic(id uint32) {
	le := binary.LittleEndian
	if t, kind := b.typ(id); kind == btfFunc && le.Uint32(t[4:])&0xffff == linkageGlobal {
		le.PutUint32(t[4:], le.Uint32(t[4:])&^0xffff)
	}
}

// nameParams gives the parameters of a prototype names, which those of declared
// functions lack and those of defined ones must have (kernel/bpf/btf.c,
// btf_func_check).
func (b *typesBlob) nameParams(id uint32) {
	le := binary.LittleEndian
	t, kind := b.typ(id)
	if kind != btfFuncProto {
		return
	}
	for i := range int(le.Uint32(t[4:]) & 0xffff) {
		param := t[btfTypeSize+8*i:] // struct btf_param: name, type
		if le.Uint32(param) == 0 && le.Uint32(param[4:]) != 0 {
			le.PutUint32(param, b.str("arg"))
		}
	}
}

// placed reports whether a section's variables are variables and lie in it, one
// after the other (kernel/bpf/btf.c, btf_datasec_check_meta, btf_datasec_resolve).
func (b *typesBlob) placed(t []byte) bool {
	le := binary.LittleEndian
	end, size := uint64(0), uint64(le.Uint32(t[8:]))
	for i := range int(le.Uint32(t[4:]) & 0xffff) {
		v := t[btfTypeSize+12*i:] // struct btf_var_secinfo: type, offset, size
		if _, kind := b.typ(le.Uint32(v)); kind != btfVar {
			return false
		}
		off, n := uint64(le.Uint32(v[4:])), uint64(le.Uint32(v[8:]))
		if off < end || n == 0 || off+n > size {
			return false
		}
		end = off + n
	}
	return size > 0
}

// asStruct turns a section into an anonymous structure of as many integers, which
// takes the same room and harms nobody (libbpf.c, bpf_object__sanitize_btf).
func asStruct(t []byte, intID uint32) {
	le := binary.LittleEndian
	n := le.Uint32(t[4:]) & 0xffff
	le.PutUint32(t, 0)
	le.PutUint32(t[4:], btfStruct<<24|n)
	le.PutUint32(t[8:], 4*n)
	for i := range n {
		m := t[btfTypeSize+12*i:] // struct btf_member: name, type, offset in bits
		le.PutUint32(m, 0)
		le.PutUint32(m[4:], intID)
		le.PutUint32(m[8:], 32*i)
	}
}

// str returns the offset of a string, which is added if it is not there.
func (b *typesBlob) str(s string) uint32 {
	if s == "" {
		return 0
	}
	if b.index == nil {
		b.index = make(map[string]uint32)
		for off := 0; off < len(b.strings); {
			n := bytes.IndexByte(b.strings[off:], 0)
			if n < 0 {
				b.strings = append(b.strings, 0)
				n = len(b.strings) - 1 - off
			}
			if _, dup := b.index[string(b.strings[off:off+n])]; !dup {
				b.index[string(b.strings[off:off+n])] = uint32(off)
			}
			off += n + 1
		}
	}
	off, ok := b.index[s]
	if !ok {
		off = uint32(len(b.strings))
		b.strings = append(append(b.strings, s...), 0)
		b.index[s] = off
	}
	return off
}

// bytes puts the parts together again.
func (b *typesBlob) bytes() []byte {
	le := binary.LittleEndian
	out := make([]byte, 0, btfHeaderSize+len(b.types)+len(b.strings))
	out = le.AppendUint16(out, btfMagic)
	out = append(out, 1, 0) // version, flags
	out = le.AppendUint32(out, btfHeaderSize)
	out = le.AppendUint32(out, 0)
	out = le.AppendUint32(out, uint32(len(b.types)))
	out = le.AppendUint32(out, uint32(len(b.types)))
	out = le.AppendUint32(out, uint32(len(b.strings)))
	return append(append(out, b.types...), b.strings...)
}

const (
	funcInfoSize = 8  // struct bpf_func_info
	lineInfoSize = 16 // struct bpf_line_info
)

// extInfo returns a program's func_info and line_info, or nil where the kernel
// would refuse them: functions must all have a type, and each must begin with a
// line (kernel/bpf/verifier.c, check_btf_func_early, check_btf_line).
func (b *typesBlob) extInfo(p *spec.ProgramSpec) (funcs, lines []byte) {
	le := binary.LittleEndian
	for _, f := range p.Funcs {
		if _, kind := b.typ(f.TypeID); kind != btfFunc {
			return nil, nil
		}
		funcs = le.AppendUint32(le.AppendUint32(funcs, uint32(f.PC)), f.TypeID)
	}
	if len(p.Lines) == 0 {
		return funcs, nil
	}
	next := 0 // the function whose first line is looked for
	for i, l := range p.Lines {
		if i > 0 && l.PC <= p.Lines[i-1].PC {
			return funcs, nil
		}
		if next < len(p.Funcs) && l.PC >= p.Funcs[next].PC {
			if l.PC > p.Funcs[next].PC {
				return funcs, nil
			}
			next++
		}
		lines = le.AppendUint32(lines, uint32(l.PC))
		lines = le.AppendUint32(lines, b.str(l.File))
		lines = le.AppendUint32(lines, b.str(l.Text))
		lines = le.AppendUint32(lines, uint32(l.Line)<<10|uint32(l.Col)&0x3ff)
	}
	if next < len(p.Funcs) {
		return funcs, nil
	}
	return funcs, lines
}
