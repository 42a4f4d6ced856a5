package runtime

import (
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// heap holds the kernel's small objects that programs make and give back: copies of
// iterators, masks of CPUs, objects of bpf_obj_new. Memory that was given back is
// used again for the next object of that size, last in, first out; in between it
// cannot be touched.
type heap struct {
	free map[uint64][]uint64 // by size
	live map[uint64]*object  // by address
}

// object is one of them.
type object struct {
	size uint64
	kind objectKind
	refs int
	// stride is the distance between the CPUs' parts of a per-CPU object, else 0.
	stride uint64
}

// objectKind says what an object is.
type objectKind string

// Kinds of objects, by the kernel's words.
const (
	objCPUMask objectKind = "bpf_cpumask"
	objNew     objectKind = "bpf_obj_new"
	objBits    objectKind = "bits"
)

// maxObjects bounds the objects that exist at the same time.
const maxObjects = 1 << 16

// alloc makes an object of zeroes with one reference; its address is a multiple of
// 8. ENOMEM where the arena is full.
func (h *heap) alloc(rt *Runtime, size uint64, kind objectKind) (uint64, spec.Errno) {
	if h.live == nil {
		h.live, h.free = map[uint64]*object{}, map[uint64][]uint64{}
	}
	if len(h.live) >= maxObjects {
		return 0, spec.ENOMEM
	}
	size = max((size+7)&^7, 8)
	var addr uint64
	if n := len(h.free[size]); n > 0 {
		addr = h.free[size][n-1]
		h.free[size] = h.free[size][:n-1]
		rt.mem.Protect(addr, size, vm.PermRW)
		clear(rt.mem.Raw(addr, size))
	} else {
		r, err := rt.mem.Alloc(vm.Spec{Kind: vm.RegionScratch, Name: string(kind), Size: size, Perm: vm.PermRW})
		if err != nil {
			return 0, spec.ENOMEM
		}
		addr = r.Base
	}
	h.live[addr] = &object{size: size, kind: kind, refs: 1}
	return addr, 0
}

// release gives an object back.
func (h *heap) release(rt *Runtime, addr uint64) {
	o := h.live[addr]
	if o == nil {
		return
	}
	delete(h.live, addr)
	h.free[o.size] = append(h.free[o.size], addr)
	rt.mem.Protect(addr, o.size, vm.PermNone)
}

// object returns the object of a kind at an address; any other address is a trap.
func (e *Env) object(addr uint64, kind objectKind) (*object, error) {
	if o := e.rt.heap.live[addr]; o != nil && o.kind == kind {
		return o, nil
	}
	return nil, &vm.Fault{Addr: addr, Size: 8, Where: e.rt.mem.Symbolize(addr), Why: fmt.Sprintf("not a live object of kind %s", kind)}
}

// freeObject gives an object of a kind back.
func (e *Env) freeObject(addr uint64, kind objectKind) error {
	if _, err := e.object(addr, kind); err != nil {
		return err
	}
	e.rt.heap.release(e.rt, addr)
	return nil
}
