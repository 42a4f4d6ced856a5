package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// packetAllowed reports whether programs of this type may touch the packet
// through a pointer; for a helper's argument the helper decides
// (may_access_direct_pkt_data).
func (env *env) packetAllowed(h *spec.HelperProto, t spec.Access) bool {
	switch env.prog.Type {
	case spec.ProgLWTIn, spec.ProgLWTOut, spec.ProgLWTSeg6Local, spec.ProgSKReuseport,
		spec.ProgFlowDissector, spec.ProgCgroupSKB:
		if t == spec.Write {
			return false
		}
	case spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgXDP, spec.ProgLWTXmit, spec.ProgSKSKB, spec.ProgSKMsg:
	case spec.ProgCgroupSockopt:
		return true
	default:
		return false
	}
	return h == nil || h.PacketAccess
}

// checkPacket checks an access to the packet: within the bytes that a comparison
// with its end has proven (check_packet_access).
func (env *env) checkPacket(regno isa.Register, off, size int, zeroOK bool) error {
	r := env.reg(regno)
	if r.SMin < 0 {
		return env.reject(CodeNegativeIndex,
			"R%d min value is negative, either use unsigned index or do a if (index >=0) check.\n", regno)
	}
	var err error = &rejection{code: CodePacketBounds}
	if r.Range >= 0 {
		err = env.inRegion(regno, int64(off), size, int64(r.Range), zeroOK)
	}
	if err != nil {
		env.say("R%d offset is outside of the packet\n", regno)
		return err
	}
	return nil
}

// pktTaken decides a comparison of a pointer that is known to lie at or past the
// packet's end (is_pkt_ptr_branch_taken).
func pktTaken(a, b *RegState, c isa.Code) int {
	pkt := a
	switch {
	case b.Type == PtrToPacketEnd:
	case a.Type == PtrToPacketEnd:
		pkt = b
		c = flip(c)
	default:
		return unknownBranch
	}
	if pkt.Range >= 0 {
		return unknownBranch
	}
	switch c {
	case isa.CodeJle, isa.CodeJgt:
		if pkt.Range == beyondPktEnd {
			return taken(c == isa.CodeJgt)
		}
	case isa.CodeJlt, isa.CodeJge:
		return taken(c == isa.CodeJge)
	}
	return unknownBranch
}

// startOfPacket reports whether r is the packet's first byte
// (reg_is_init_pkt_pointer).
func startOfPacket(r *RegState) bool {
	return r.Type == PtrToPacket && r.ID == 0 && r.Off == 0 && r.VarOff == tnumZero
}

// matchPacket learns from a comparison with the packet's end, or of metadata with
// the packet's start (try_match_pkt_pointers). fall and jump are the states of
// the two branches.
func (env *env) matchPacket(ins isa.Instruction, d, s *RegState, fall, jump *State) {
	if ins.Op.Source() != isa.SrcX || ins.Op.Class() == isa.ClassJMP32 {
		return
	}
	c := ins.Op.Code()
	pkt, no := *d, ins.Dst()
	switch {
	case d.Type == PtrToPacket && s.Type == PtrToPacketEnd, d.Type == PtrToPacketMeta && startOfPacket(s):
	case d.Type == PtrToPacketEnd && s.Type == PtrToPacket, startOfPacket(d) && s.Type == PtrToPacketMeta:
		pkt, no = *s, ins.Src()
		c = flip(c)
	default:
		return
	}
	env.aux[env.insnIdx].packetCompare = true
	// Now it reads: if pkt c end goto.
	switch c {
	case isa.CodeJgt: // jump: beyond the end; fall through: pkt <= end
		findGoodPacket(fall, pkt, false)
		markPacketEnd(jump, no, beyondPktEnd)
	case isa.CodeJge: // jump: at or beyond; fall through: pkt < end
		findGoodPacket(fall, pkt, true)
		markPacketEnd(jump, no, atPktEnd)
	case isa.CodeJlt:
		findGoodPacket(jump, pkt, true)
		markPacketEnd(fall, no, atPktEnd)
	case isa.CodeJle:
		findGoodPacket(jump, pkt, false)
		markPacketEnd(fall, no, beyondPktEnd)
	}
}

// markPacketEnd notes that a pointer lies at or past the packet's end
// (mark_pkt_end).
func markPacketEnd(s *State, no isa.Register, r int32) {
	if reg := &s.cur().Regs[no]; reg.Type == PtrToPacket {
		reg.Range = r
	}
}

// dropPackets forgets all pointers into the packet: it may have moved
// (clear_all_pkt_pointers).
func (env *env) dropPackets() {
	env.cur.regs(func(_ *FuncState, r *RegState) {
		if r.Type.isPktAny() || r.Type&DynptrSKB != 0 || r.Type&DynptrXDP != 0 {
			*r = unknownScalar()
		}
	})
}
