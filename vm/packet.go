package vm

import (
	"encoding/binary"
	"errors"
)

// Offsets of LD_ABS and LD_IND from here on count from the network header, and from
// the link-layer header (include/uapi/linux/filter.h, SKF_NET_OFF and SKF_LL_OFF).
const (
	netOffset  = -0x100000
	linkOffset = -0x200000
)

// maxLinkHeader is more than any link-layer header before the packet's first byte.
const maxLinkHeader = 128

// LoadPacket is what LD_ABS and LD_IND load: size (1, 2 or 4) bytes at an offset of
// the packet, in network order. ok is false when the packet does not have them; the
// function then returns with R0 = 0 (net/core/filter.c: bpf_gen_ld_abs). Where
// headers lie is not known here: an offset from one of them that may be in the
// packet is a trap. The engine places it.
func (m *Machine) LoadPacket(off int32, size int) (v uint64, ok bool, t *Trap) {
	if off < 0 {
		if !m.mayHaveHeader(off, size) {
			return 0, false, nil
		}
		return 0, false, &Trap{
			Kind:  TrapInsn,
			Msg:   "packet offsets from the network or link-layer header (SKF_NET_OFF, SKF_LL_OFF) are not supported",
			Cause: errors.ErrUnsupported,
		}
	}
	addr := m.PktData + uint64(off)
	if addr+uint64(size) > m.PktEnd || m.PktData == 0 {
		return 0, false, nil
	}
	b, err := m.Mem.Bytes(addr, size, PermRead)
	if err != nil {
		return 0, false, MemoryTrap(m.Mem.Fault(addr, size, PermRead))
	}
	switch size {
	case 1:
		return uint64(b[0]), true, nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), true, nil
	}
	return uint64(binary.BigEndian.Uint32(b)), true, nil
}

// mayHaveHeader reports whether a negative offset may lead from a header into the
// packet.
func (m *Machine) mayHaveHeader(off int32, size int) bool {
	rel := off - linkOffset
	if off >= netOffset {
		rel = off - netOffset
	}
	return rel >= 0 && uint64(rel)+uint64(size) <= m.PktEnd-m.PktData+maxLinkHeader
}
