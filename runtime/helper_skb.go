package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_skb_load_bytes":          skbLoadBytes,
		"bpf_skb_load_bytes_relative": skbLoadBytesRelative,
	})
	register(map[string]helperFunc{
		"bpf_skb_store_bytes": skbStoreBytes,
		"bpf_skb_pull_data":   skbPullData,
	})
}

// Flags of the helpers on socket buffers (include/uapi/linux/bpf.h).
const (
	skbRecompute      = 1 << 0 // BPF_F_RECOMPUTE_CSUM
	skbInvalidateHash = 1 << 1 // BPF_F_INVALIDATE_HASH
)

// maxOffset is INT_MAX, the largest offset into a packet.
const maxOffset = 1<<31 - 1

// skbLoadBytes is bpf_skb_load_bytes(skb, offset, to, len): on failure the memory
// is zeroed.
func skbLoadBytes(e *Env, _, offset, to, size, _ uint64) (uint64, error) {
	dst, err := e.write(to, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	off := uint64(uint32(offset))
	if off > maxOffset || !e.packet.has(off, uint64(len(dst))) {
		clear(dst)
		return spec.EFAULT.Ret(), nil
	}
	e.packet.copyOut(dst, off)
	return 0, nil
}

// skbLoadBytesRelative is bpf_skb_load_bytes_relative(skb, offset, to, len, start):
// from the link-layer header (0), where the packet begins here, or from the network
// header (1): 14 bytes on, or where the packet begins on hooks without Ethernet.
func skbLoadBytesRelative(e *Env, ctx, offset, to, size, start uint64) (uint64, error) {
	dst, err := e.write(to, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	if uint32(offset) > 0xffff || uint32(start) > 1 {
		clear(dst)
		return spec.EFAULT.Ret(), nil
	}
	return skbLoadBytes(e, ctx, uint64(uint32(offset))+e.packet.network*uint64(uint32(start)), to, size, 0)
}

// skbStoreBytes is bpf_skb_store_bytes(skb, offset, from, len, flags). The flags
// concern the checksum and the hash that the socket buffer carries, not the packet.
func skbStoreBytes(e *Env, _, offset, from, size, flags uint64) (uint64, error) {
	src, err := e.read(from, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	off := uint64(uint32(offset))
	switch {
	case flags&^(skbRecompute|skbInvalidateHash) != 0:
		return spec.EINVAL.Ret(), nil
	case off > maxOffset || !e.packet.has(off, uint64(len(src))):
		return spec.EFAULT.Ret(), nil
	}
	e.packet.copyIn(off, src)
	if flags&skbInvalidateHash != 0 {
		binary.LittleEndian.PutUint32(e.rt.mem.Raw(e.ctx.Base+skbHash, 4), 0)
	}
	return 0, nil
}

// skbPullData is bpf_skb_pull_data: packets here lie in one piece and are
// writable, so there is nothing to pull.
func skbPullData(e *Env, _, size, _, _, _ uint64) (uint64, error) {
	if !e.packet.has(0, uint64(uint32(size))) {
		return spec.ENOMEM.Ret(), nil
	}
	return 0, nil
}
