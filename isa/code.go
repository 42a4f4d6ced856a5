package isa

import (
	"encoding/binary"
	"fmt"
)

// DecodeError says that bytes are not a whole number of slots.
type DecodeError struct {
	Len int // number of bytes given
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode: %d bytes are not a whole number of %d-byte slots", e.Len, SlotSize)
}

// Decode reads little-endian slots, one to one: no slot is dropped, joined or
// judged, so that a broken program can be looked at too. Program.Check judges.
func Decode(b []byte) (Program, error) { return DecodeOrder(binary.LittleEndian, b) }

// DecodeOrder reads slots in the given byte order. In a big-endian object the
// two register nibbles are swapped as well: dst is the high one
// (RFC 9669, section 3.1).
func DecodeOrder(order binary.ByteOrder, b []byte) (Program, error) {
	if len(b)%SlotSize != 0 {
		return nil, &DecodeError{Len: len(b)}
	}
	p := make(Program, len(b)/SlotSize)
	swap := isBigEndian(order)
	for i := range p {
		s := b[i*SlotSize : (i+1)*SlotSize]
		p[i] = Instruction{
			Op:   Opcode(s[0]),
			Regs: s[1],
			Off:  int16(order.Uint16(s[2:])),
			Imm:  int32(order.Uint32(s[4:])),
		}
		if swap {
			p[i].Regs = p[i].Regs<<4 | p[i].Regs>>4
		}
	}
	return p, nil
}

// Encode writes the program as little-endian slots; it is the inverse of Decode.
func Encode(p Program) []byte { return EncodeOrder(binary.LittleEndian, p) }

// EncodeOrder writes the program in the given byte order; see DecodeOrder.
func EncodeOrder(order binary.ByteOrder, p Program) []byte {
	b := make([]byte, len(p)*SlotSize)
	swap := isBigEndian(order)
	for i, ins := range p {
		s := b[i*SlotSize : (i+1)*SlotSize]
		s[0], s[1] = byte(ins.Op), ins.Regs
		if swap {
			s[1] = ins.Regs<<4 | ins.Regs>>4
		}
		order.PutUint16(s[2:], uint16(ins.Off))
		order.PutUint32(s[4:], uint32(ins.Imm))
	}
	return b
}

// isBigEndian asks the order itself, which also works for binary.NativeEndian.
func isBigEndian(order binary.ByteOrder) bool {
	return order.Uint16([]byte{1, 0}) == 0x100
}
