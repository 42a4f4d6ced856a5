package runtime_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// Batch commands on each type of map that has them, and on one that has not, in a
// random order together with single operations.
func TestMapBatchesLikeKernel(t *testing.T) {
	cpus := askKernel(t, kernelJob{}).CPUs
	const zeroSeed = spec.MapZeroSeed
	for i, s := range []spec.MapSpec{
		{Name: "array", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 5},
		{Name: "percpu_array", Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 5},
		{Name: "hash", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 10, Flags: zeroSeed},
		{Name: "hash_nopre", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 5, Flags: zeroSeed | spec.MapNoPrealloc},
		{Name: "hash_rdonly", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 5, Flags: zeroSeed | spec.MapRdOnly},
		{Name: "percpu_hash", Type: spec.MapPerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 10, Flags: zeroSeed},
		{Name: "lru_hash", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 300, Flags: zeroSeed},
		{Name: "lru_percpu_hash", Type: spec.MapLRUPerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 300, Flags: zeroSeed},
		{Name: "stack_trace", Type: spec.MapStackTrace, KeySize: 4, ValueSize: 8, MaxEntries: 5},
	} {
		t.Run(s.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 9))
			mc := mapCase{MapSpec: s, keys: 14}
			ops := mc.randomOps(rng, cpus, min(*mapOpsFlag, 20000))
			for i := range ops {
				if rng.IntN(2) == 0 {
					ops[i] = mc.randomBatch(rng, cpus)
				}
			}
			mc.compare(t, cpus, ops)
		})
	}
}

func (mc *mapCase) randomBatch(rng *rand.Rand, cpus int) mapOp {
	op := mapOp{
		Op: []string{"batch_lookup", "batch_take", "batch_update", "batch_delete"}[rng.IntN(4)],
		N:  1 + rng.IntN(8), Flags: []uint64{0, 0, 0, 0, 0, 4, 1}[rng.IntN(7)],
	}
	for range 1 + rng.IntN(4) {
		op.Keys = append(op.Keys, mc.randomKey(rng))
		op.Values = append(op.Values, mc.randomValue(rng, cpus))
	}
	return op
}

// kernelBatch does a batch command; keys are of 4 bytes and values of 8.
func kernelBatch(m *ebpf.Map, s spec.MapSpec, op mapOp, cpus int) opResult {
	perKey := 1
	if s.Type.PerCPU() {
		perKey = cpus
	}
	opts := &ebpf.BatchOptions{ElemFlags: op.Flags}
	var keys []uint32
	var values []uint64
	for i, k := range op.Keys {
		keys = append(keys, binary.LittleEndian.Uint32(k))
		for v := range slices.Chunk(op.Values[i], 8) {
			values = append(values, binary.LittleEndian.Uint64(v))
		}
	}
	counted := func(n int, err error) opResult {
		if err != nil && n == len(keys) { // refused before it was counted
			n = 0
		}
		return opResult{Errno: errnoOf(err), Out: []byte{byte(n)}}
	}
	switch op.Op {
	case "batch_update":
		return counted(m.BatchUpdate(keys, values, opts))
	case "batch_delete":
		return counted(m.BatchDelete(keys, opts))
	}
	var cursor ebpf.MapBatchCursor
	lookup := m.BatchLookup
	if op.Op == "batch_take" {
		lookup = m.BatchLookupAndDelete
	}
	var out []byte
	for {
		keys, values = make([]uint32, op.N), make([]uint64, op.N*perKey)
		n, err := lookup(&cursor, keys, values, opts)
		for i := range n {
			out = binary.LittleEndian.AppendUint32(out, keys[i])
			for _, v := range values[i*perKey:][:perKey] {
				out = binary.LittleEndian.AppendUint64(out, v)
			}
		}
		if err != nil {
			return opResult{Errno: errnoOf(err), Out: out}
		}
	}
}

func ourBatch(m runtime.Map, op mapOp) opResult {
	counted := func(n int, err error) opResult {
		e, _ := errors.AsType[spec.Errno](err)
		return opResult{Errno: e, Out: []byte{byte(n)}}
	}
	switch op.Op {
	case "batch_update":
		return counted(runtime.UpdateBatch(m, op.Keys, op.Values, op.Flags))
	case "batch_delete":
		return counted(runtime.DeleteBatch(m, op.Keys, op.Flags))
	}
	lookup := runtime.LookupBatch
	if op.Op == "batch_take" {
		lookup = runtime.LookupAndDeleteBatch
	}
	var out, cursor []byte
	for {
		b, err := lookup(m, cursor, op.N, op.Flags)
		for i, k := range b.Keys {
			out = append(append(out, k...), b.Values[i]...)
		}
		if err != nil {
			e, _ := errors.AsType[spec.Errno](err)
			return opResult{Errno: e, Out: out}
		}
		cursor = b.Next
	}
}
