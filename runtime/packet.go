package runtime

import (
	"bpfvm/vm"
)

// packet is the packet of a run: bytes in the arena with room on both sides,
//
//	r.Base           Start (data)        End (data_end)   r.Base+r.Size
//	  | headroom ... | packet            | tailroom       |
//
// and, in XDP frames that are longer than a page, fragments that programs reach
// through helpers only.
type packet struct {
	e     *Env
	r     *vm.Region
	meta  uint64 // start of the metadata before the packet; data when there is none
	write vm.Perm
	// network is where the network header begins.
	network uint64
	frags   [][]byte
	// sync writes data, data_end and so on into the context.
	sync func()
}

// newPacket puts a packet into the CPU's window, head bytes after its start.
func (e *Env) newPacket(data []byte, head, tail uint64, perm vm.Perm) (*packet, error) {
	size := head + uint64(len(data)) + tail
	r, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionPacket, size, vm.PermNone)
	if err != nil {
		return nil, err
	}
	p := &packet{e: e, r: r, write: perm}
	copy(e.rt.mem.Raw(r.Base+head, uint64(len(data))), data)
	r.Start, r.End = r.Base+head, r.Base+head+uint64(len(data))
	p.meta = r.Start
	p.protect()
	return p, nil
}

// protect opens what lies between the metadata's start and data_end, and nothing
// else.
func (p *packet) protect() {
	mem := p.e.rt.mem
	mem.Protect(p.r.Base, p.r.Size, vm.PermNone)
	mem.Protect(p.meta, p.r.End-p.meta, p.write)
}

// move changes the bounds of the packet.
func (p *packet) move(meta, start, end uint64) {
	p.meta, p.r.Start, p.r.End = meta, start, end
	p.protect()
	p.sync()
}

// linear is the number of bytes in the arena, len that with the fragments.
func (p *packet) linear() uint64 { return p.r.End - p.r.Start }

func (p *packet) len() uint64 {
	n := p.linear()
	for _, f := range p.frags {
		n += uint64(len(f))
	}
	return n
}

// bytes returns a copy of the whole packet.
func (p *packet) bytes() []byte {
	out := make([]byte, p.len())
	p.copyOut(out, 0)
	return out
}

// copyOut reads from an offset of the packet; the caller has checked the bounds.
func (p *packet) copyOut(dst []byte, off uint64) {
	p.walk(off, uint64(len(dst)), func(done uint64, b []byte) { copy(dst[done:], b) })
}

// copyIn writes at an offset of the packet; the caller has checked the bounds.
func (p *packet) copyIn(off uint64, src []byte) {
	p.walk(off, uint64(len(src)), func(done uint64, b []byte) { copy(b, src[done:]) })
}

// walk visits the pieces of n bytes from off.
func (p *packet) walk(off, n uint64, visit func(done uint64, b []byte)) {
	done := uint64(0)
	piece := func(b []byte) {
		if off >= uint64(len(b)) {
			off -= uint64(len(b))
			return
		}
		b = b[off:min(uint64(len(b)), off+n-done)]
		visit(done, b)
		done += uint64(len(b))
		off = 0
	}
	piece(p.e.rt.mem.Raw(p.r.Start, p.linear()))
	for _, f := range p.frags {
		if done == n {
			return
		}
		piece(f)
	}
}

// has reports whether n bytes from off lie in the packet.
func (p *packet) has(off, n uint64) bool {
	total := p.len()
	return off <= total && n <= total-off
}
