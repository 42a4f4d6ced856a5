package elf

import (
	"bytes"
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// A struct_ops map replaces a structure of functions in the kernel: an algorithm
// of congestion control, a scheduler. In C it is a variable whose members name
// programs and hold values:
//
//	SEC(".struct_ops.link")
//	struct tcp_congestion_ops reno = {
//		.ssthresh = (void *)on_ssthresh, // a relocation against the program
//		.name     = "bpf_reno",          // bytes of the section
//	};
//
// The map's value is the structure as the object declares it. A loader copies it
// member by member into the kernel's bpf_struct_ops_NAME, whose layout only the
// running kernel knows (libbpf.c, bpf_map__init_kern_struct_ops).

// structOps is a struct_ops map whose programs are not known yet.
type structOps struct {
	m      *spec.MapSpec
	sec    *Section
	off    uint64 // of the variable in its section
	typ    *btf.Struct
	relocs []Reloc
}

const opCost = 512 // of a spec.MapOp, or of the error in its place

// readStructOps reads the variables of a section .struct_ops or .struct_ops.link
// (libbpf.c, init_struct_ops_maps).
func (l *loader) readStructOps(s *Section) {
	whole := func(err error) { l.refuseMap(mapKey{s.Index, 0}, s.Name, s, err) }
	if l.bt == nil {
		whole(l.btErr)
		return
	}
	ds := l.datasec(s.Name)
	if ds == nil {
		whole(formatErr("BTF does not describe section %s", quoteName(s.Name)))
		return
	}
	if s.Type != shtProgbits {
		whole(formatErr("structures in a section of type %s", s.TypeName()))
		return
	}
	places := l.symbolPlaces(s.Index)
	for _, vsi := range ds.Vars {
		v, ok := vsi.Type.(*btf.Var)
		if !ok {
			whole(formatErr("BTF describes a %T, not a variable", vsi.Type))
			continue
		}
		off, ok := places[v.Name]
		if !ok {
			off = vsi.Offset // linkers fill it in and may drop the symbol
		}
		key := mapKey{s.Index, uint64(off)}
		refuse := func(err error) { l.refuseMap(key, v.Name, s, err) }
		typ, ok := btf.UnderlyingType(v.Type).(*btf.Struct)
		switch {
		case !ok || typ.Name == "":
			refuse(formatErr("its type is no named structure but %s", typeText(v.Type)))
			continue
		case uint64(off)+uint64(typ.Size) > s.Size:
			refuse(formatErr("its %d bytes reach past the section's end", typ.Size))
			continue
		}
		if err := l.b.take("struct_ops maps", int64(typ.Size), 1); err != nil {
			refuse(err)
			continue
		}
		m := &spec.MapSpec{
			Name: v.Name, Section: s.Name, Type: spec.MapStructOps,
			KeySize: 4, ValueSize: typ.Size, MaxEntries: 1, ValueTypeID: l.typeID(typ),
			NoCreate: s.Name[0] == '?',
			Contents: []spec.MapKV{{Key: arrayKey(0), Value: bytes.Clone(s.data[off : uint64(off)+uint64(typ.Size)])}},
		}
		if isLinkSection(s.Name) {
			m.Flags = spec.MapLink
		}
		l.addMap(key, m)
		if l.maps[key] != m {
			continue
		}
		l.ops = append(l.ops, structOps{m: m, sec: s, off: uint64(off), typ: typ,
			relocs: within(l.f.Relocs(s.Index), uint64(off), uint64(off)+uint64(typ.Size), func(r Reloc) uint64 { return r.Off })})
	}
}

// membersAt returns the members of a structure by the byte that they begin at;
// bitfields begin none.
func (o *structOps) membersAt() map[uint32]*btf.Member {
	at := make(map[uint32]*btf.Member, len(o.typ.Members))
	for i := range o.typ.Members {
		if m := &o.typ.Members[i]; m.BitfieldSize == 0 && m.Offset%8 == 0 {
			at[m.Offset.Bytes()] = m
		}
	}
	return at
}

// bindStructOps finds the programs of all struct_ops maps and tells each program
// which member it is for (libbpf.c, bpf_object__collect_st_ops_relos).
func (l *loader) bindStructOps() {
	progs := make(map[string]*spec.ProgramSpec, len(l.out.Programs))
	for _, p := range l.out.Programs {
		progs[p.Name] = p
	}
	known := make(map[*btf.Struct]map[uint32]*btf.Member)
	for _, o := range l.ops {
		if len(o.relocs) > 0 && known[o.typ] == nil {
			known[o.typ] = o.membersAt()
		}
		for _, r := range o.relocs {
			// Charged before it is looked at: many variables may share relocations.
			err := l.b.take("struct_ops members", 1, opCost)
			if err != nil {
				l.errs.add(&MapError{Map: o.m.Name, Section: o.sec.Name, Off: int64(r.Off), Err: err})
				return
			}
			if err := l.bindOp(o, r, known[o.typ][uint32(r.Off-o.off)], progs); err != nil {
				l.errs.add(&MapError{Map: o.m.Name, Section: o.sec.Name, Off: int64(r.Off), Err: err})
			}
		}
	}
}

// bindOp takes one member's relocation.
func (l *loader) bindOp(o structOps, r Reloc, member *btf.Member, progs map[string]*spec.ProgramSpec) error {
	at := uint32(r.Off - o.off)
	if member == nil {
		return formatErr("relocation at byte %d of %s, where no member begins", at, typeText(o.typ))
	}
	if ptr, ok := btf.UnderlyingType(member.Type).(*btf.Pointer); !ok || !isFuncProto(ptr.Target) {
		return formatErr("member %s refers to a symbol, but is no pointer to a function", quoteName(member.Name))
	}
	sym := &l.f.Symbols[r.Sym]
	if l.kindOf(sym.Section) != secCode {
		return formatErr("member %s: symbol %s is no program", quoteName(member.Name), quoteName(sym.Name))
	}
	value := o.m.Contents[0].Value
	if uint64(at)+8 > uint64(len(value)) {
		return formatErr("member %s reaches past the structure's end", quoteName(member.Name))
	}
	var inPlace int64
	if !r.HasAddend { // a section's symbol comes with the place in it
		inPlace = int64(binary.LittleEndian.Uint64(value[at:]))
	}
	fn, err := l.functionAt(sym.Section, l.f.addend(&r, sym, inPlace))
	if err != nil {
		return err
	}
	p := progs[fn.name]
	if p == nil || p.Type != spec.ProgStructOps {
		return formatErr("member %s: %s is no usable struct_ops program", quoteName(member.Name), quoteName(fn.name))
	}
	clear(value[at : at+8])
	o.m.Ops = append(o.m.Ops, spec.MapOp{Member: member.Name, Off: at, Program: p.Name})
	// What the section's name has behind "struct_ops/" means nothing. A program may
	// serve several maps, always for the same member.
	to := types.EssentialName(o.typ.Name) + ":" + member.Name
	if old, ok := l.opOf[p]; ok && old != to {
		return formatErr("program %s is for %s already, not for %s", quoteName(p.Name), old, to)
	}
	p.AttachTo, l.opOf[p] = to, to
	return nil
}

func isFuncProto(t btf.Type) bool {
	_, ok := btf.UnderlyingType(t).(*btf.FuncProto)
	return ok
}
