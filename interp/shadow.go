package interp

import (
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/vm"
)

// valueKind says what the step loop knows about a register's value.
type valueKind uint8

const (
	valueNever   valueKind = iota // never written
	valueLost                     // destroyed by a call
	valueNumber                   // a number, or a pointer whose origin is unknown
	valuePointer                  // came from an object and must stay inside it
)

// shadow is what stands beside a register or a spilled stack slot.
type shadow struct {
	kind valueKind
	obj  object  // of valuePointer
	by   *origin // valueLost: the call; valueNumber: the helper that returned it
}

// origin is an instruction that explains a value.
type origin struct {
	pc   isa.PC
	name string // of the helper or function that was called
}

// number is the shadow of everything that is not a pointer.
var number = shadow{kind: valueNumber}

// object is what a pointer points into. Its bounds are fixed except for those of
// the packet, which are the region's at the moment of the access.
type object struct {
	region *vm.Region
	base   uint64 // first address
	size   uint64 // bytes
	role   objectRole
	gen    int // of the packet: which packet pointers were alive
}

// objectRole separates the pointers that follow rules of their own.
type objectRole uint8

const (
	roleMemory objectRole = iota
	roleCtx
	rolePacket
	rolePacketMeta
	rolePacketEnd
)

// pointerTo makes the shadow of a pointer to the object at addr; an address
// without an object is a number.
func pointerTo(mem *vm.Memory, addr uint64) shadow {
	o, ok := mem.Object(addr)
	if !ok {
		return number
	}
	return shadow{kind: valuePointer, obj: object{region: o.Region, base: o.Base, size: o.Size}}
}

// bounds returns the first address of the object and the first one after it.
func (o *object) bounds() (low, end uint64) {
	switch o.role {
	case rolePacket:
		return o.region.Start, o.region.End
	case rolePacketMeta:
		return o.base, o.region.Start
	case rolePacketEnd:
		return o.region.End, o.region.End
	}
	return o.base, o.base + o.size
}

// contains reports whether size bytes at addr lie inside the object.
func (o *object) contains(addr, size uint64) bool {
	low, end := o.bounds()
	return addr >= low && addr <= end && size <= end-addr
}

// name prints an address relative to the object, even when it lies in another.
func (o *object) name(mem *vm.Memory, addr uint64) string {
	low, _ := o.bounds()
	rel := int64(addr - low)
	switch {
	case o.role == rolePacketEnd:
		return "data_end" + offset(int64(addr-o.region.End))
	case o.role == rolePacketMeta:
		return "pkt_meta" + offset(rel)
	case o.region.Kind == vm.RegionStack:
		fp := strings.TrimSuffix(mem.Symbolize(o.base+o.size-8), "-8")
		return fp + offset(rel-int64(o.size))
	}
	return mem.Symbolize(low) + offset(rel)
}

// offset prints a distance with its sign, and nothing for zero.
func offset(off int64) string {
	if off == 0 {
		return ""
	}
	return fmt.Sprintf("%+d", off)
}

// why says how an access misses the object.
func (o *object) why(addr, size uint64) string {
	low, end := o.bounds()
	switch {
	case o.role == rolePacketEnd:
		return "data_end bounds the packet and cannot be dereferenced"
	case o.region.Kind == vm.RegionMap || o.region.Kind == vm.RegionFunc:
		return "the object is opaque: it can be passed to helpers but not dereferenced"
	case addr-low >= 1<<63: // below
		if o.region.Kind == vm.RegionStack {
			return fmt.Sprintf("%d bytes below the %d-byte stack frame", low-addr, o.size)
		}
		if o.role == rolePacket {
			return fmt.Sprintf("%d bytes before data", low-addr)
		}
		return fmt.Sprintf("%d bytes before the object", low-addr)
	case o.role == rolePacket:
		return fmt.Sprintf("%d bytes past data_end, the packet has %d bytes", addr+size-end, end-low)
	case o.region.Kind == vm.RegionStack:
		return fmt.Sprintf("%d bytes above the frame pointer", addr+size-end)
	}
	return fmt.Sprintf("%d bytes past the end, the object has %d bytes", addr+size-end, end-low)
}

// lost explains why a register cannot be read.
func (s *shadow) lost(r isa.Register) string {
	switch {
	case s.kind == valueLost && r == isa.R0:
		return fmt.Sprintf("r0 has no value: %s at insn %d returns none", s.by.name, s.by.pc)
	case s.kind == valueLost:
		return fmt.Sprintf("%s was lost in the call of %s at insn %d", r, s.by.name, s.by.pc)
	}
	return fmt.Sprintf("%s was never written", r)
}

// known reports whether the value may be read.
func (s *shadow) known() bool { return s.kind >= valueNumber }
