package runtime

import (
	"encoding/binary"
	"math/bits"

	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
)

func init() {
	registerKfunc("bpf_cpumask_create", spec.RetBTFIDOrNull, "", cpumaskCreate)
	registerKfunc("bpf_cpumask_acquire", spec.RetBTFID, "obj", cpumaskAcquire)
	registerKfunc("bpf_cpumask_release", spec.RetVoid, "obj", cpumaskRelease)

	onMasks := func(name string, n int, fn func(m []cpumask) uint64) {
		args := []string{"obj", "obj obj", "obj obj obj"}[n-1]
		registerKfunc(name, spec.RetInteger, args, func(e *Env, a, b, c, _, _ uint64) (uint64, error) {
			m, err := e.cpumasks([]uint64{a, b, c}[:n]...)
			if err != nil {
				return 0, err
			}
			return fn(m), nil
		})
	}
	onMasks("bpf_cpumask_first", 1, func(m []cpumask) uint64 { return m[0].next(0, func(w uint64) uint64 { return w }) })
	onMasks("bpf_cpumask_first_zero", 1, func(m []cpumask) uint64 { return m[0].next(0, func(w uint64) uint64 { return ^w }) })
	onMasks("bpf_cpumask_any_distribute", 1, func(m []cpumask) uint64 { return m[0].distribute(m[0]) })
	onMasks("bpf_cpumask_weight", 1, func(m []cpumask) uint64 { return m[0].weight() })
	onMasks("bpf_cpumask_empty", 1, func(m []cpumask) uint64 { return truth(m[0].weight() == 0) })
	onMasks("bpf_cpumask_full", 1, func(m []cpumask) uint64 { return truth(m[0].weight() == m[0].n) })
	onMasks("bpf_cpumask_setall", 1, func(m []cpumask) uint64 { return m[0].set(m[0], m[0], func(_, _ uint64) uint64 { return ^uint64(0) }) })
	onMasks("bpf_cpumask_clear", 1, func(m []cpumask) uint64 { return m[0].set(m[0], m[0], func(_, _ uint64) uint64 { return 0 }) })
	onMasks("bpf_cpumask_copy", 2, func(m []cpumask) uint64 { return m[0].set(m[1], m[1], func(a, _ uint64) uint64 { return a }) })
	onMasks("bpf_cpumask_first_and", 2, func(m []cpumask) uint64 { return m[0].firstAnd(m[1]) })
	onMasks("bpf_cpumask_any_and_distribute", 2, func(m []cpumask) uint64 { return m[0].distribute(m[1]) })
	onMasks("bpf_cpumask_equal", 2, func(m []cpumask) uint64 { return m[0].all(m[1], func(a, b uint64) bool { return a == b }) })
	onMasks("bpf_cpumask_intersects", 2, func(m []cpumask) uint64 {
		return 1 - m[0].all(m[1], func(a, b uint64) bool { return a&b == 0 })
	})
	onMasks("bpf_cpumask_subset", 2, func(m []cpumask) uint64 { return m[0].all(m[1], func(a, b uint64) bool { return a&^b == 0 }) })
	onMasks("bpf_cpumask_and", 3, func(m []cpumask) uint64 { return m[0].set(m[1], m[2], func(a, b uint64) uint64 { return a & b }) })
	onMasks("bpf_cpumask_or", 3, func(m []cpumask) uint64 { return m[0].set(m[1], m[2], func(a, b uint64) uint64 { return a | b }) })
	onMasks("bpf_cpumask_xor", 3, func(m []cpumask) uint64 { return m[0].set(m[1], m[2], func(a, b uint64) uint64 { return a ^ b }) })

	// onBit takes a CPU and a mask; the result is whether the bit was set.
	onBit := func(name string, ret spec.RetKind, change func(w, bit uint64) uint64) {
		registerKfunc(name, ret, "any obj", func(e *Env, cpu, mask, _, _, _ uint64) (uint64, error) {
			m, err := e.cpumasks(mask)
			if err != nil || uint64(uint32(cpu)) >= m[0].n {
				return 0, err
			}
			cpu = uint64(uint32(cpu))
			w := m[0].b[cpu/64*8:]
			old, bit := binary.LittleEndian.Uint64(w), uint64(1)<<(cpu%64)
			binary.LittleEndian.PutUint64(w, change(old, bit))
			return truth(old&bit != 0), nil
		})
	}
	set := func(w, bit uint64) uint64 { return w | bit }
	reset := func(w, bit uint64) uint64 { return w &^ bit }
	onBit("bpf_cpumask_set_cpu", spec.RetVoid, set)
	onBit("bpf_cpumask_clear_cpu", spec.RetVoid, reset)
	onBit("bpf_cpumask_test_cpu", spec.RetInteger, func(w, _ uint64) uint64 { return w })
	onBit("bpf_cpumask_test_and_set_cpu", spec.RetInteger, set)
	onBit("bpf_cpumask_test_and_clear_cpu", spec.RetInteger, reset)
}

// cpumask is a set of CPUs, of which the first n exist.
type cpumask struct {
	b []byte // whole words
	n uint64
}

// cpumaskSize is sizeof(struct bpf_cpumask) of the target, whose first field is the
// mask; the count of references is not kept there.
func (rt *Runtime) cpumaskSize() uint64 {
	var s *btf.Struct
	if err := rt.opts.Target.TypeByName("bpf_cpumask", &s); err == nil && uint64(s.Size) >= MaxCPUs/8 {
		return uint64(s.Size)
	}
	return MaxCPUs / 8
}

// cpumasks returns the masks at addresses: those of bpf_cpumask_create, or bytes of
// the kernel.
func (e *Env) cpumasks(addrs ...uint64) ([]cpumask, error) {
	var masks []cpumask
	n := uint64(len(e.rt.cpus))
	for _, addr := range addrs {
		size := (n + 63) / 64 * 8
		if e.rt.mem.Find(addr) == nil { // a cpumask in the kernel's memory: a copy, for reading
			b := make([]byte, size)
			e.probeFill(b, addr, kernelSpace)
			masks = append(masks, cpumask{b, n})
			continue
		}
		b, err := e.read(addr, size)
		if err != nil {
			return nil, err
		}
		masks = append(masks, cpumask{b, n})
	}
	return masks, nil
}

// words yields the words of a mask, bits beyond the last CPU zero.
func (m cpumask) word(i uint64) uint64 {
	w := binary.LittleEndian.Uint64(m.b[8*i:])
	if rest := m.n - 64*i; rest < 64 {
		w &= 1<<rest - 1
	}
	return w
}

func (m cpumask) words() uint64 { return uint64(len(m.b)) / 8 }

// set stores op of each word of two masks and returns whether a bit is set.
func (m cpumask) set(a, b cpumask, op func(a, b uint64) uint64) uint64 {
	for i := range m.words() {
		v := op(a.word(i), b.word(i))
		binary.LittleEndian.PutUint64(m.b[8*i:], v)
	}
	return truth(m.weight() > 0)
}

// all reports whether something holds for each pair of words.
func (m cpumask) all(o cpumask, op func(a, b uint64) bool) uint64 {
	for i := range m.words() {
		if !op(m.word(i), o.word(i)) {
			return 0
		}
	}
	return 1
}

func (m cpumask) weight() uint64 {
	n := 0
	for i := range m.words() {
		n += bits.OnesCount64(m.word(i))
	}
	return uint64(n)
}

// next returns the first CPU from one on whose bit is set in op of its word, or the
// number of CPUs.
func (m cpumask) next(from uint64, op func(w uint64) uint64) uint64 {
	for cpu := from; cpu < m.n; cpu++ {
		if op(m.word(cpu/64))>>(cpu%64)&1 != 0 {
			return cpu
		}
	}
	return m.n
}

// firstAnd is the first CPU that is in both masks.
func (m cpumask) firstAnd(o cpumask) uint64 {
	for cpu := range m.n {
		if m.word(cpu/64)&o.word(cpu/64)>>(cpu%64)&1 != 0 {
			return cpu
		}
	}
	return m.n
}

// distribute is cpumask_any_and_distribute. The kernel begins behind the CPU that it
// gave last; here it is always the first, which is one of them too.
func (m cpumask) distribute(o cpumask) uint64 { return m.firstAnd(o) }

func cpumaskCreate(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	addr, errno := e.rt.heap.alloc(e.rt, e.rt.cpumaskSize(), objCPUMask)
	if errno != 0 {
		return 0, nil // NULL
	}
	return addr, nil
}

func cpumaskAcquire(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	o, err := e.object(addr, objCPUMask)
	if err != nil {
		return 0, err
	}
	o.refs++
	return addr, nil
}

func cpumaskRelease(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	o, err := e.object(addr, objCPUMask)
	if err != nil {
		return 0, err
	}
	if o.refs--; o.refs == 0 {
		e.rt.heap.release(e.rt, addr)
	}
	return 0, nil
}
