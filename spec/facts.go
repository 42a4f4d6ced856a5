package spec

import "bpfvm/isa"

// Facts are what is proven of a program, as plain data: what reaches the engines
// of what a verifier has found out. They may only make a program faster. Nothing
// that keeps a program away from the host's memory rests on them: an engine stays
// safe when they lie.
type Facts struct {
	// Access is by slot, as long as the program; slots without a proof are zero.
	Access []AccessFact
}

// AccessFact says of a load or store that in every run it lies within an object
// that may be read or written like that.
type AccessFact struct {
	Kind MemKind // MemUnproven: nothing is known, the access must be checked
	Size uint8   // bytes, as the instruction has them
	// Min and Max bound where the first byte lies, counted as MemKind says.
	Min, Max int32
}

// At returns what is known of the access at a slot, of size bytes.
func (f *Facts) At(pc isa.PC, size int) AccessFact {
	if f == nil || pc < 0 || int(pc) >= len(f.Access) || int(f.Access[pc].Size) != size {
		return AccessFact{}
	}
	return f.Access[pc]
}

// MemKind is the kind of object that an access touches.
type MemKind uint8

// Kinds of memory.
const (
	MemUnproven MemKind = iota
	MemStack            // offsets from the top of the frame, negative
	MemCtx              // from the start of the context
	MemPacket           // from the pointer that was compared with data_end
	MemMapValue         // from the start of the value
	MemRecord           // from the start of memory that a helper has handed out
)

var memKindNames = [...]string{"unproven", "stack", "ctx", "packet", "map value", "record"}

// String returns the kind in words.
func (k MemKind) String() string {
	if int(k) < len(memKindNames) {
		return memKindNames[k]
	}
	return "?"
}
