package isa

import "strconv"

// Register is one of the eleven 64-bit registers (RFC 9669, section 2). The
// field on the wire has four bits; values above R10 are not valid.
type Register uint8

// R0 holds return values, R1-R5 arguments (lost at calls), R6-R9 are kept by
// callees, R10 is the read-only frame pointer: the address just above the
// frame's 512 bytes of stack.
const (
	R0 Register = iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	R10

	// FP is the frame pointer by its usual name.
	FP = R10
	// NumRegisters counts the valid registers.
	NumRegisters = 11
)

// Valid reports whether r names an existing register.
func (r Register) Valid() bool { return r <= R10 }

// String returns "r0" to "r10".
func (r Register) String() string { return "r" + strconv.Itoa(int(r)) }

// Name32 returns "w0" to "w10", the name for the lower half of the register.
func (r Register) Name32() string { return "w" + strconv.Itoa(int(r)) }
