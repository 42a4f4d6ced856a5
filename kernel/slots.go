package kernel

import (
	"context"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// SlotCode is the machine code that the kernel's JIT has made of one slot.
type SlotCode struct {
	// PC is the slot of the program as it was loaded, -1 where the kernel does not
	// tell: then Code is a whole function. The first slot of a function has its
	// prologue too.
	PC   isa.PC
	Func string
	Addr uint64 // of Code; 0 where the kernel does not tell
	Code []byte
}

// JitedBySlot loads a program and cuts its machine code at the slots. Line info maps
// machine code to lines; so for this load each slot is a line of its own. Slots that
// the verifier has removed are missing; what it has inserted counts to the slot that
// it was inserted for. The program must have types (BTF), or else functions come
// whole.
func (k *Kernel) JitedBySlot(ctx context.Context, job Job) (*LoadResult, []SlotCode, error) {
	job.Want |= WantJited
	job.Spec = eachSlotALine(job.Spec, job.Program)
	r, err := k.Load(ctx, job)
	if err != nil || r.Prog == nil {
		return r, nil, err
	}
	return r, cutSlots(r.Prog), nil
}

// eachSlotALine returns the collection with line info of one record a slot.
func eachSlotALine(cs *spec.CollectionSpec, name string) *spec.CollectionSpec {
	out := *cs
	out.Programs = slices.Clone(cs.Programs)
	for i, p := range out.Programs {
		if p.Name != name {
			continue
		}
		q := *p
		q.Lines = nil
		for pc := range q.Insns.All() {
			q.Lines = append(q.Lines, spec.Line{PC: pc, File: "slots", Line: int(pc) + 1})
		}
		out.Programs[i] = &q
	}
	return &out
}

// cutSlots cuts functions where the lines begin.
func cutSlots(p *ProgInfo) []SlotCode {
	var out []SlotCode
	for _, f := range p.Jited {
		at := 0
		now := SlotCode{PC: -1, Func: f.Name, Addr: f.Addr}
		flush := func(end int) {
			if end > at {
				now.Code = f.Code[at:end:end]
				out = append(out, now)
			}
			at = end
		}
		for _, l := range p.JitedLines {
			if f.Addr == 0 || l.Addr < f.Addr || l.Addr >= f.Addr+uint64(len(f.Code)) || l.Line.File != "slots" {
				continue
			}
			flush(int(l.Addr - f.Addr))
			now.PC, now.Addr = isa.PC(l.Line.Line-1), l.Addr
		}
		flush(len(f.Code))
	}
	return out
}
