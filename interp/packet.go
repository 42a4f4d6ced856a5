package interp

import (
	"encoding/binary"
	"errors"

	"bpfvm/vm"
)

// Offsets of LD_ABS and LD_IND that count from the network or link-layer header
// instead of the packet's first byte (include/uapi/linux/filter.h, SKF_LL_OFF and
// SKF_NET_OFF). Where those headers are is not known here.
const headerOffsets = -0x200000

// loadPacket is LD_ABS and LD_IND: size bytes at an offset of the packet, in
// network order. ok is false when the packet does not have them.
func loadPacket(m *vm.Machine, off int32, size int) (v uint64, ok bool, t *vm.Trap) {
	if off < 0 {
		if off >= headerOffsets {
			return 0, false, &vm.Trap{
				Kind:  vm.TrapInsn,
				Msg:   "packet offsets from the network or link-layer header (SKF_NET_OFF, SKF_LL_OFF) are not supported",
				Cause: errors.ErrUnsupported,
			}
		}
		return 0, false, nil
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
