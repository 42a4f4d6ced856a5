package interp

import (
	"encoding/binary"
	"errors"

	"bpfvm/vm"
)

// Offsets of LD_ABS and LD_IND from here on count from the network header, and from
// the link-layer header (include/uapi/linux/filter.h, SKF_NET_OFF and SKF_LL_OFF).
const (
	netOffset  = -0x100000
	linkOffset = -0x200000
)

// maxLinkHeader is more than any link-layer header before the packet's first byte.
const maxLinkHeader = 128

// loadPacket is LD_ABS and LD_IND: size bytes at an offset of the packet, in
// network order. ok is false when the packet does not have them. Where headers lie
// is not known here: an offset from one of them that may be in the packet is a trap.
func loadPacket(m *vm.Machine, off int32, size int) (v uint64, ok bool, t *vm.Trap) {
	if off < 0 {
		rel := off - linkOffset
		if off >= netOffset {
			rel = off - netOffset
		}
		if rel < 0 || uint64(rel)+uint64(size) > m.PktEnd-m.PktData+maxLinkHeader {
			return 0, false, nil
		}
		return 0, false, &vm.Trap{
			Kind:  vm.TrapInsn,
			Msg:   "packet offsets from the network or link-layer header (SKF_NET_OFF, SKF_LL_OFF) are not supported",
			Cause: errors.ErrUnsupported,
		}
	}
	addr := m.PktData + uint64(off)
	if addr+uint64(size) > m.PktEnd || m.PktData == 0 {
		return 0, false, nil
	}
	b, err := m.Mem.Bytes(addr, size, vm.PermRead)
	if err != nil {
		return 0, false, memoryTrap(m, addr, size, vm.PermRead)
	}
	switch size {
	case 1:
		return uint64(b[0]), true, nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), true, nil
	}
	return uint64(binary.BigEndian.Uint32(b)), true, nil
}
