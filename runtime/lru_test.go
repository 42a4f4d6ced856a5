package runtime_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// lruKeys are the keys of a map as numbers in ascending order.
func lruKeys(m runtime.Map) string {
	var keys [256]bool
	for key := range runtime.All(m) {
		keys[key[0]] = true
	}
	var b strings.Builder
	for k, there := range keys {
		if there {
			fmt.Fprintf(&b, "%d ", k)
		}
	}
	return strings.TrimSpace(b.String())
}

func key32(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }

// A full LRU map drops the element that was not used for the longest time, and
// only when an element is added.
func TestLRUEviction(t *testing.T) {
	for _, typ := range []spec.MapType{spec.MapLRUHash, spec.MapLRUPerCPUHash} {
		t.Run(typ.String(), func(t *testing.T) {
			const src = `
.license "GPL"
.map m type=%s key=4 value=8 max_entries=3
.program look xdp
	r6 = *(u32 *)(r1 + 0)
	r6 = *(u8 *)(r6 + 0)
	*(u32 *)(r10 - 4) = r6
	r1 = map[m]
	r2 = r10
	r2 += -4
	call bpf_map_lookup_elem
	if r0 == 0 goto none
	r0 = 1
none:
	exit`
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, fmt.Sprintf(src, typ)))
				m := c.Map("m")
				put := func(k int, flags uint64) error { return m.Update(key32(k), make([]byte, 8), flags) }
				look := func(k int) {
					t.Helper()
					if r0 := mustRun(t, c.Program("look"), []byte{byte(k), 13: 0}); r0 != 1 {
						t.Errorf("lookup of %d: %d", k, r0)
					}
				}
				steps := []struct {
					name string
					do   func() error
					want string
				}{
					{"fill", func() error { put(1, 0); put(2, 0); return put(3, 0) }, "1 2 3"},
					{"the oldest goes", func() error { return put(4, 0) }, "2 3 4"},
					{"a lookup of user space is no use", func() error { m.Lookup(key32(2)); return put(5, 0) }, "3 4 5"},
					{"a lookup of a program is", func() error { look(3); return put(6, 0) }, "3 5 6"},
					{"an update is", func() error { put(5, spec.UpdateExist); return put(7, 0) }, "5 6 7"},
					{"replacing drops nothing", func() error { put(6, 0); put(6, 0); return put(6, 0) }, "5 6 7"},
					{"order after that", func() error { return put(8, spec.UpdateNoExist) }, "6 7 8"},
					{"a deleted element leaves room", func() error { m.Delete(key32(8)); return put(9, 0) }, "6 7 9"},
				}
				for _, s := range steps {
					if err := s.do(); err != nil {
						t.Errorf("%s: %v", s.name, err)
					}
					if got := lruKeys(m); got != s.want {
						t.Errorf("%s: keys %s, want %s", s.name, got, s.want)
					}
				}
				if err := put(6, spec.UpdateNoExist); err != spec.EEXIST {
					t.Error(err)
				}
				if err := put(1, spec.UpdateExist); err != spec.ENOENT {
					t.Error(err)
				}
				if got := lruKeys(m); got != "6 7 9" {
					t.Errorf("updates that fail drop elements: %s", got)
				}
			})
		})
	}
}

func mustRun(t *testing.T, p *runtime.Program, data []byte) uint64 {
	t.Helper()
	res, err := p.Run(&runtime.XDP{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if res.Trap != nil {
		t.Fatal(res.Trap)
	}
	return res.R0
}

// With BPF_F_NO_COMMON_LRU the size is rounded up to a multiple of the CPUs, and
// each of them has an equal part of it.
func TestLRUOwnLists(t *testing.T) {
	rt := newRuntime(t, runtime.Options{CPUs: 4})
	c := load(t, rt, &spec.CollectionSpec{Maps: []*spec.MapSpec{
		{Name: "m", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 5, Flags: spec.MapNoCommonLRU},
	}})
	m := c.Map("m")
	if n := m.Spec().MaxEntries; n != 8 {
		t.Errorf("%d entries", n)
	}
	for k := range 5 {
		if err := m.Update(key32(k), make([]byte, 8), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := lruKeys(m); got != "3 4" {
		t.Errorf("keys of CPU 0: %s", got)
	}
}

// Here and in the kernel an LRU map takes every element, holds no more than its
// size, and has the newest.
func TestLRUNeverFullLikeKernel(t *testing.T) {
	for _, typ := range []spec.MapType{spec.MapLRUHash, spec.MapLRUPerCPUHash} {
		t.Run(typ.String(), func(t *testing.T) {
			cpus := askKernel(t, kernelJob{}).CPUs
			s := spec.MapSpec{Name: "m", Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: 64}
			size := 8
			if typ.PerCPU() {
				size *= cpus
			}
			var ops []mapOp
			for k := range 1000 {
				value := make([]byte, size)
				value[0] = byte(k)
				ops = append(ops, mapOp{Op: "update", Key: key32(k), Value: value}, mapOp{Op: "lookup", Key: key32(k)})
			}
			answer := askKernel(t, kernelJob{Maps: []spec.MapSpec{s}, Ops: ops})
			rt := newRuntime(t, runtime.Options{CPUs: cpus})
			m := load(t, rt, &spec.CollectionSpec{Maps: []*spec.MapSpec{&s}}).Map("m")
			for i, op := range ops {
				if got, want := ourOp(m, op), answer.Ops[i]; got.String() != want.String() || got.Errno != 0 {
					t.Fatalf("operation %d: %s key %x: %s, kernel %s", i, op.Op, op.Key, got, want)
				}
			}
			n := 0
			for range runtime.All(m) {
				n++
			}
			if n != 64 || len(answer.Elems[0]) > 64 {
				t.Errorf("%d elements, kernel %d", n, len(answer.Elems[0]))
			}
		})
	}
}

// Above their capacity, LRU maps of both drop elements, but not the same ones. What
// stays true: an update takes effect at once, an element that is there has the value
// that was written last, and there are never more than fit.
func TestLRUInvariantsLikeKernel(t *testing.T) {
	cpus := askKernel(t, kernelJob{}).CPUs
	for i, s := range []spec.MapSpec{
		{Name: "lru", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 50},
		{Name: "lru_one", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		{Name: "own_lists", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 64, Flags: spec.MapNoCommonLRU},
		{Name: "percpu", Type: spec.MapLRUPerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 50},
	} {
		t.Run(s.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 11))
			mc := mapCase{MapSpec: s, keys: 200}
			var ops []mapOp
			for _, op := range mc.randomOps(rng, cpus, *mapOpsFlag) {
				ops = append(ops, op)
				if op.Op == "update" {
					ops = append(ops, mapOp{Op: "lookup", Key: op.Key})
				}
			}
			answer := askKernel(t, kernelJob{Maps: []spec.MapSpec{s}, Ops: ops})
			checkLRU(t, "kernel", ops, answer.Ops)
			if n := len(answer.Elems[0]); n > int(s.MaxEntries) {
				t.Errorf("kernel: %d elements", n)
			}
			rt := newRuntime(t, runtime.Options{CPUs: cpus})
			m := load(t, rt, &spec.CollectionSpec{Maps: []*spec.MapSpec{&s}}).Map(s.Name)
			var ours []opResult
			for _, op := range ops {
				ours = append(ours, ourOp(m, op))
			}
			checkLRU(t, "ours", ops, ours)
			n := 0
			for range runtime.All(m) {
				n++
			}
			if n > int(s.MaxEntries) {
				t.Errorf("%d elements", n)
			}
		})
	}
}

// checkLRU holds results against what was written.
func checkLRU(t *testing.T, who string, ops []mapOp, results []opResult) {
	t.Helper()
	written := map[string][]byte{} // nil: certainly not there
	for i, op := range ops {
		r, key := results[i], string(op.Key)
		bad := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("%s: operation %d: %s key %x flags %d: %s: %s", who, i, op.Op, op.Key, op.Flags, r, fmt.Sprintf(format, args...))
		}
		last := written[key]
		switch op.Op {
		case "update":
			switch {
			case op.Flags > spec.UpdateExist:
				if r.Errno != spec.EINVAL {
					bad("want EINVAL")
				}
			case op.Flags == spec.UpdateAny && r.Errno != 0:
				bad("an update always finds room")
			case op.Flags == spec.UpdateExist && last == nil && r.Errno != spec.ENOENT:
				bad("want ENOENT")
			case op.Flags == spec.UpdateNoExist && last == nil && r.Errno != 0:
				bad("it is new")
			}
			if r.Errno == 0 {
				written[key] = op.Value
				if look := results[i+1]; look.Errno != 0 {
					bad("then a lookup: %s", look)
				}
			}
		case "lookup", "take":
			if op.Flags != 0 {
				continue
			}
			switch {
			case r.Errno == 0 && !bytes.Equal(r.Out, last):
				bad("written was %x", last)
			case r.Errno != 0 && r.Errno != spec.ENOENT:
				bad("want a value or ENOENT")
			}
			if op.Op == "take" || r.Errno != 0 {
				delete(written, key)
			}
		case "delete":
			delete(written, key)
		}
	}
}
