package runtime

import (
	"bpfvm/spec"
	"bpfvm/verifier"
	"bpfvm/vm"
)

// facts asks the verifier what it can prove of the program, for an engine that
// makes use of it. It returns nil when the verifier does not accept the program:
// then everything is checked.
//
// What is proven holds for programs that run as the verifier has assumed. A mock may
// answer what no helper would, so mocks void all of it.
func (p *Program) facts() *spec.Facts {
	if e, ok := p.rt.opts.Engine.(vm.FactsUser); !ok || !e.UsesFacts() || len(p.rt.mocks) != 0 {
		return nil
	}
	if !p.verified {
		p.verified = true
		r, err := verifier.Verify(p.spec, verifier.Options{Maps: p.coll.Maps, BTF: p.coll.BTF})
		if err == nil && r.Verdict == verifier.Accepted {
			p.proven = p.plainFacts(r.Facts)
		}
	}
	return p.proven
}

// plainFacts picks the accesses that the arena, too, is bound to allow: it gives a
// region the permissions that the verifier goes by.
func (p *Program) plainFacts(f *verifier.Facts) *spec.Facts {
	out := &spec.Facts{Access: make([]spec.AccessFact, len(p.spec.Insns))}
	for pc := range f.Slots {
		a := f.Slots[pc].Access
		if a == nil || a.Size > 8 || a.MinOff < -1<<30 || a.MaxOff > 1<<30 {
			continue
		}
		kind := p.memKind(a)
		if kind == spec.MemUnproven {
			continue
		}
		out.Access[pc] = spec.AccessFact{Kind: kind, Size: uint8(a.Size), Min: int32(a.MinOff), Max: int32(a.MaxOff)}
	}
	return out
}

// memKind translates the verifier's kinds. Kernel structures are left out, since
// they need not lie in the arena, and so are contexts whose length the input
// decides.
func (p *Program) memKind(a *verifier.Access) spec.MemKind {
	switch a.Kind {
	case verifier.PtrToStack:
		return spec.MemStack
	case verifier.PtrToMapValue:
		return spec.MemMapValue
	case verifier.PtrToPacket, verifier.PtrToPacketMeta:
		return spec.MemPacket
	case verifier.PtrToMem | verifier.FromRingBuf:
		return spec.MemRecord
	case verifier.PtrToCtx:
		switch p.Type() {
		case spec.ProgXDP, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgSocketFilter, spec.ProgKprobe, spec.ProgPerfEvent:
			return spec.MemCtx
		}
	}
	return spec.MemUnproven
}
