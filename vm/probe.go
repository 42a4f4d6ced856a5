package vm

import (
	"encoding/binary"

	"bpfvm/isa"
)

// ProbeLoad is a load marked in [Code.ProbeMem]: what the kernel's verifier turns
// into BPF_PROBE_MEM because the base is a pointer to a kernel structure
// (kernel/bpf/verifier.c, bpf_convert_ctx_accesses). Such pointers may be NULL or
// stale, so that a load that finds nothing gives 0 and the program goes on
// (arch/x86/net/bpf_jit_comp.c, ex_handler_bpf); user addresses count as nothing.
func (m *Machine) ProbeLoad(addr uint64, ins isa.Instruction) uint64 {
	var raw [8]byte
	size := ins.Op.Size().Bytes()
	switch seg := m.Mem.Foreign.Find(addr); {
	case m.Mem.Ok(addr, size, PermRead):
		copy(raw[:], m.Mem.Raw(addr, uint64(size)))
	case seg == nil || seg.User:
		return 0
	case m.Mem.Foreign.Read(raw[:size], addr) < size:
		return 0
	}
	v := binary.LittleEndian.Uint64(raw[:])
	if ins.Op.Mode() == isa.ModeMEMSX {
		shift := 64 - 8*size
		return uint64(int64(v<<shift) >> shift)
	}
	return v
}
