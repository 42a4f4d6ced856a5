package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
	"bpfvm/types"
)

func init() {
	register(map[string]helperFunc{
		"bpf_kptr_xchg":    kptrXchg,
		"bpf_per_cpu_ptr":  perCPUPtr,
		"bpf_this_cpu_ptr": thisCPUPtr,
	})
	registerKfunc("bpf_obj_new_impl", spec.RetBTFIDOrNull, "any any", objNewImpl(false))
	registerKfunc("bpf_obj_drop_impl", spec.RetVoid, "obj any", objDrop)
	registerKfunc("bpf_percpu_obj_new_impl", spec.RetBTFIDOrNull, "any any", objNewImpl(true))
	registerKfunc("bpf_percpu_obj_drop_impl", spec.RetVoid, "obj any", objDrop)
	registerKfunc("bpf_refcount_acquire_impl", spec.RetBTFIDOrNull, "obj any", refcountAcquire)
	registerKfunc("bpf_throw", spec.RetVoid, "any", throw)
}

// kptrXchg is bpf_kptr_xchg(dst, ptr): it stores a pointer in a map value or an
// object and returns the one that was there.
func kptrXchg(e *Env, dst, ptr, _, _, _ uint64) (uint64, error) {
	b, err := e.write(dst, 8)
	if err != nil {
		return 0, err
	}
	old := binary.LittleEndian.Uint64(b)
	binary.LittleEndian.PutUint64(b, ptr)
	return old, nil
}

// objNewImpl makes bpf_obj_new_impl(local_type_id, meta) and bpf_percpu_obj_new_impl:
// an object of zeroes of a type of the program's own BTF, with one reference; or one
// for each CPU, which bpf_this_cpu_ptr and bpf_per_cpu_ptr lead to.
func objNewImpl(percpu bool) helperFunc {
	return func(e *Env, id, _, _, _, _ uint64) (uint64, error) {
		size, err := e.prog.localSize(id)
		if err != nil {
			return 0, err
		}
		stride := (size + 7) &^ 7
		total := size
		if percpu {
			total = stride * uint64(len(e.rt.cpus))
		}
		addr, errno := e.rt.heap.alloc(e.rt, total, objNew)
		if errno != 0 {
			return 0, nil // NULL
		}
		if percpu {
			e.rt.heap.live[addr].stride = stride
		}
		return addr, nil
	}
}

// localSize returns the size of a structure by its id in the object's BTF.
func (p *Program) localSize(id uint64) (uint64, error) {
	local, err := p.rt.localTypes(p.coll)
	if err != nil {
		return 0, err
	}
	t, err := local.TypeByID(btf.TypeID(uint32(id)))
	if err != nil {
		return 0, fmt.Errorf("type %d: %w", id, err)
	}
	s, ok := btf.As[*btf.Struct](t)
	if !ok {
		return 0, fmt.Errorf("type %d is no structure", id)
	}
	return uint64(s.Size), nil
}

// localTypes parses the BTF of an object, once.
func (rt *Runtime) localTypes(cs *spec.CollectionSpec) (*btf.Spec, error) {
	if t := rt.locals[cs]; t != nil {
		return t, nil
	}
	t, err := types.Load(cs.BTF)
	if err != nil {
		return nil, fmt.Errorf("the object's own types: %w", err)
	}
	if rt.locals == nil {
		rt.locals = map[*spec.CollectionSpec]*btf.Spec{}
	}
	rt.locals[cs] = t
	return t, nil
}

// objDrop is bpf_obj_drop_impl(p, meta): the object goes with its last reference, and
// with it what is in its lists and trees (__bpf_obj_drop_impl).
func objDrop(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	if _, err := e.object(addr, objNew); err != nil {
		return 0, err
	}
	e.rt.dropObject(addr)
	return 0, nil
}

// dropObject gives a reference back. Objects in containers of an object that goes
// lose one too, and so on.
func (rt *Runtime) dropObject(addr uint64) {
	for todo := []uint64{addr}; len(todo) > 0; {
		addr, todo = todo[len(todo)-1], todo[:len(todo)-1]
		o := rt.heap.live[addr]
		if o == nil {
			continue
		}
		if o.refs--; o.refs > 0 {
			continue
		}
		for _, node := range rt.containers.empty(addr, o.size) {
			todo = append(todo, rt.objectOf(node))
		}
		rt.heap.release(rt, addr)
	}
}

// objectOf returns the object that an address lies in, 0 when there is none.
func (rt *Runtime) objectOf(addr uint64) uint64 {
	if r := rt.mem.Find(addr); r != nil && rt.heap.live[r.Base] != nil {
		return r.Base
	}
	return 0
}

// refcountAcquire is bpf_refcount_acquire_impl(p, meta).
func refcountAcquire(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	o, err := e.object(addr, objNew)
	if err != nil {
		return 0, err
	}
	o.refs++
	return addr, nil
}

// perCPUPtr is bpf_per_cpu_ptr(percpu_ptr, cpu), for objects of
// bpf_percpu_obj_new; the kernel's own per-CPU variables are refused when a program
// is loaded.
func perCPUPtr(e *Env, ptr, cpu, _, _, _ uint64) (uint64, error) {
	o := e.rt.heap.live[ptr]
	if o == nil || o.stride == 0 {
		_, err := e.object(ptr, "per-CPU object")
		return 0, err
	}
	if uint64(uint32(cpu)) >= uint64(len(e.rt.cpus)) {
		return 0, nil
	}
	return ptr + o.stride*uint64(uint32(cpu)), nil
}

func thisCPUPtr(e *Env, ptr, _, _, _, _ uint64) (uint64, error) {
	return perCPUPtr(e, ptr, uint64(e.cpu), 0, 0, 0)
}

// thrown is how bpf_throw ends a run: as a trap for the engines, which unwinds all
// frames, and as an exit with the cookie for everybody else.
type thrown struct{ cookie uint64 }

func (*thrown) Error() string { return "the program has thrown an exception" }

// throw is bpf_throw(cookie): the program ends at once with the cookie as its result,
// as it does in the kernel without an exception callback of its own.
func throw(_ *Env, cookie, _, _, _, _ uint64) (uint64, error) { return 0, &thrown{cookie} }

// thrownBy returns the exception behind a trap.
func thrownBy(trap error) (*thrown, bool) { return errors.AsType[*thrown](trap) }
