package types

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// ErrFormat is wrapped by every error about malformed BTF.
var ErrFormat = errors.New("malformed BTF")

// Bounds on BTF that comes from outside.
const (
	// maxBTF is the largest blob that the kernel takes (kernel/bpf/btf.c,
	// BTF_MAX_SIZE).
	maxBTF = 16 << 20
	// maxChain is how many types deep a chain of references may go when types are
	// followed in the order of their ids. The kernel's own BTF stays below 10,000;
	// the parser recurses, so that a crafted chain would cost memory without end.
	maxChain = 32 << 10
)

// Load parses raw BTF, the contents of a .BTF section or of a file in
// /sys/kernel/btf. It distrusts its input: sizes, string offsets, type ids and
// chains of references are checked, and every type is decoded once, so that what
// is returned holds no surprise. Only little-endian BTF is taken; big-endian BTF
// gives an error that wraps errors.ErrUnsupported.
func Load(raw []byte) (*btf.Spec, error) {
	if err := check(raw); err != nil {
		return nil, fmt.Errorf("load BTF: %w", err)
	}
	spec, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("load BTF: %w: %w", ErrFormat, err)
	}
	return spec, nil
}

// decode gives the checked blob to the parser and walks over every type. The
// parser reports bad input with errors; should it panic all the same, that is an
// error too, because the input is to blame and not the caller.
func decode(raw []byte) (spec *btf.Spec, err error) {
	defer func() {
		if r := recover(); r != nil {
			spec, err = nil, fmt.Errorf("decode types: %v", r)
		}
	}()
	spec, err = btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	for _, err := range spec.All() {
		if err != nil {
			return nil, err
		}
	}
	return spec, nil
}

// BTF kinds (include/uapi/linux/btf.h, BTF_KIND_*).
const (
	kindInt = 1 + iota
	kindPtr
	kindArray
	kindStruct
	kindUnion
	kindEnum
	kindFwd
	kindTypedef
	kindVolatile
	kindConst
	kindRestrict
	kindFunc
	kindFuncProto
	kindVar
	kindDatasec
	kindFloat
	kindDeclTag
	kindTypeTag
	kindEnum64
)

// check looks at the header and the type records without decoding them:
//
//	magic u16  version u8  flags u8  hdr_len u32
//	type_off u32  type_len u32  str_off u32  str_len u32     (struct btf_header)
func check(raw []byte) error {
	if len(raw) > maxBTF {
		return fmt.Errorf("%w: %d bytes, more than the %d that the kernel takes", ErrFormat, len(raw), maxBTF)
	}
	if len(raw) < 24 {
		return fmt.Errorf("%w: %d bytes are too few for a header", ErrFormat, len(raw))
	}
	le := binary.LittleEndian
	switch le.Uint16(raw) {
	case 0xeb9f:
	case 0x9feb:
		return fmt.Errorf("big-endian BTF: %w", errors.ErrUnsupported)
	default:
		return fmt.Errorf("%w: magic is %#04x, not 0xeb9f", ErrFormat, le.Uint16(raw))
	}
	hdr := uint64(le.Uint32(raw[4:]))
	off, size := uint64(le.Uint32(raw[8:])), uint64(le.Uint32(raw[12:]))
	if hdr < 24 || hdr > uint64(len(raw)) || off+size > uint64(len(raw))-hdr {
		return fmt.Errorf("%w: type section of %d bytes at %d does not fit into %d bytes", ErrFormat, size, off, len(raw))
	}
	refs, err := references(raw[hdr+off : hdr+off+size])
	if err != nil {
		return err
	}
	return checkChains(refs)
}

// references returns the ids that each type refers to, in the order of its
// fields; index 0 stands for type 1.
func references(types []byte) ([][]uint32, error) {
	le := binary.LittleEndian
	var refs [][]uint32
	for at := 0; at < len(types); {
		id := len(refs) + 1
		if len(types)-at < 12 {
			return nil, fmt.Errorf("%w: type %d: record is cut off", ErrFormat, id)
		}
		info, sizeOrType := le.Uint32(types[at+4:]), le.Uint32(types[at+8:])
		kind, vlen := int(info>>24&0x1f), int(info&0xffff)
		at += 12
		var extra, elem int // bytes behind the record, and of one of its vlen parts
		single := false     // size_or_type is a reference
		switch kind {
		case kindInt, kindVar, kindDeclTag:
			extra = 4
			single = kind != kindInt
		case kindArray:
			extra = 12
		case kindStruct, kindUnion, kindDatasec, kindEnum64:
			elem = 12
		case kindEnum:
			elem = 8
		case kindFuncProto:
			elem, single = 8, true
		case kindPtr, kindTypedef, kindVolatile, kindConst, kindRestrict, kindFunc, kindTypeTag:
			single = true
		case kindFwd, kindFloat:
		default:
			return nil, fmt.Errorf("%w: type %d: kind %d is unknown", ErrFormat, id, kind)
		}
		if elem > 0 {
			extra = vlen * elem
		}
		if len(types)-at < extra {
			return nil, fmt.Errorf("%w: type %d: %d bytes are missing", ErrFormat, id, extra-(len(types)-at))
		}
		var to []uint32
		if single {
			to = append(to, sizeOrType)
		}
		switch kind {
		case kindArray:
			to = append(to, le.Uint32(types[at+4:]), le.Uint32(types[at:]))
		case kindStruct, kindUnion, kindFuncProto:
			for i := range vlen {
				to = append(to, le.Uint32(types[at+i*elem+4:]))
			}
		case kindDatasec:
			for i := range vlen {
				to = append(to, le.Uint32(types[at+i*elem:]))
			}
		}
		refs = append(refs, to)
		at += extra
	}
	for i, to := range refs {
		for _, id := range to {
			if int64(id) > int64(len(refs)) {
				return nil, fmt.Errorf("%w: type %d refers to type %d of %d", ErrFormat, i+1, id, len(refs))
			}
		}
	}
	return refs, nil
}

// checkChains follows the references depth first, in the order in which the
// parser will, and measures how deep that goes.
func checkChains(refs [][]uint32) error {
	seen := make([]bool, len(refs)+1)
	type frame struct {
		id   uint32
		next int
	}
	var stack []frame
	for root := range refs {
		if seen[root+1] {
			continue
		}
		seen[root+1] = true
		stack = append(stack[:0], frame{id: uint32(root + 1)})
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			to := refs[top.id-1]
			if top.next == len(to) {
				stack = stack[:len(stack)-1]
				continue
			}
			id := to[top.next]
			top.next++
			if id == 0 || seen[id] {
				continue
			}
			seen[id] = true
			if len(stack) == maxChain {
				return fmt.Errorf("%w: types refer to each other more than %d deep", ErrFormat, maxChain)
			}
			stack = append(stack, frame{id: id})
		}
	}
	return nil
}
