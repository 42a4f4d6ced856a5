package runtime_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// Random operations on each type of map give the same results here and in the
// kernel: values, keys in order, and error numbers.
func TestMapOpsLikeKernel(t *testing.T) {
	const zeroSeed = spec.MapZeroSeed // the kernel's order of keys is ours then
	tests := []spec.MapSpec{
		{Name: "array", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 6},
		{Name: "array_odd", Type: spec.MapArray, KeySize: 4, ValueSize: 5, MaxEntries: 1},
		{Name: "array_rdonly", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: spec.MapRdOnly},
		{Name: "array_wronly", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: spec.MapWrOnly},
		{Name: "hash", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: zeroSeed},
		{Name: "hash_one", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: zeroSeed},
		{Name: "hash_big", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 100, Flags: zeroSeed},
		{Name: "hash_nopre", Type: spec.MapHash, KeySize: 8, ValueSize: 3, MaxEntries: 7, Flags: zeroSeed | spec.MapNoPrealloc},
		{Name: "hash_key3", Type: spec.MapHash, KeySize: 3, ValueSize: 8, MaxEntries: 10, Flags: zeroSeed},
		{Name: "hash_key12", Type: spec.MapHash, KeySize: 12, ValueSize: 8, MaxEntries: 10, Flags: zeroSeed},
		{Name: "hash_key29", Type: spec.MapHash, KeySize: 29, ValueSize: 8, MaxEntries: 12, Flags: zeroSeed},
		{Name: "percpu_array", Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 5},
		{Name: "percpu_array_odd", Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 12, MaxEntries: 5},
		{Name: "percpu_hash", Type: spec.MapPerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: zeroSeed},
		{Name: "percpu_hash_nopre", Type: spec.MapPerCPUHash, KeySize: 4, ValueSize: 4, MaxEntries: 6, Flags: zeroSeed | spec.MapNoPrealloc},
		// Large enough that the kernel, too, drops nothing: see keyRange.
		{Name: "lru_hash", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 200, Flags: zeroSeed},
		{Name: "lru_hash_own_lists", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 201, Flags: zeroSeed | spec.MapNoCommonLRU},
		{Name: "lru_percpu_hash", Type: spec.MapLRUPerCPUHash, KeySize: 4, ValueSize: 12, MaxEntries: 200, Flags: zeroSeed},
		{Name: "lpm_trie", Type: spec.MapLPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: 100, Flags: spec.MapNoPrealloc},
		{Name: "lpm_trie_small", Type: spec.MapLPMTrie, KeySize: 6, ValueSize: 3, MaxEntries: 5, Flags: spec.MapNoPrealloc},
		{Name: "lpm_trie_byte", Type: spec.MapLPMTrie, KeySize: 5, ValueSize: 1, MaxEntries: 1000, Flags: spec.MapNoPrealloc},
		{Name: "lpm_trie_ipv6", Type: spec.MapLPMTrie, KeySize: 20, ValueSize: 4, MaxEntries: 50, Flags: spec.MapNoPrealloc},
		{Name: "prog_array", Type: spec.MapProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 4},
		{Name: "perf", Type: spec.MapPerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 1},
	}
	for i, s := range tests {
		t.Run(s.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			cpus := askKernel(t, kernelJob{}).CPUs
			ops := randomOps(rng, s, cpus, 600)
			answer := askKernel(t, kernelJob{Maps: []spec.MapSpec{s}, Ops: ops})
			if answer.MapErrs[0] != 0 {
				t.Fatalf("kernel: create: %v", answer.MapErrs[0])
			}
			rt := newRuntime(t, runtime.Options{CPUs: cpus})
			c := load(t, rt, &spec.CollectionSpec{Maps: []*spec.MapSpec{&s}})
			m := c.Map(s.Name)
			if s.Type == spec.MapPerfEventArray { // the kernel's starts without events
				for i := range uint32(s.MaxEntries) {
					_ = m.Delete(binary.LittleEndian.AppendUint32(nil, i))
				}
			}
			for i, op := range ops {
				if got, want := ourOp(m, op), answer.Ops[i]; got.String() != want.String() {
					t.Fatalf("operation %d: %s key %x value %x flags %d: %s, kernel %s", i, op.Op, op.Key, op.Value, op.Flags, got, want)
				}
			}
		})
	}
}

// randomOps makes operations of which about half hit something.
func randomOps(rng *rand.Rand, s spec.MapSpec, cpus, n int) []mapOp {
	ops := make([]mapOp, n)
	for i := range ops {
		op := &ops[i]
		op.Op = []string{"lookup", "update", "update", "update", "delete", "next"}[rng.IntN(6)]
		op.Key = make([]byte, s.KeySize)
		k := rng.IntN(keyRange(s))
		op.Key[0] = byte(k)
		op.Key[len(op.Key)-1] ^= byte(k * 7 & boolMask(s.Type == spec.MapHash || s.Type == spec.MapPerCPUHash))
		if s.Type == spec.MapLPMTrie {
			op.Key = randomPrefix(rng, int(s.KeySize))
		}
		if op.Op == "next" && rng.IntN(4) == 0 {
			op.Key = nil
		}
		if op.Op == "update" {
			size := int(s.ValueSize)
			if s.Type.PerCPU() {
				size = (size + 7) &^ 7 * cpus
			}
			op.Value = make([]byte, size)
			for j := range op.Value {
				// the padding of per-CPU values is not kept by every interface
				if stride := (int(s.ValueSize) + 7) &^ 7; j%stride < int(s.ValueSize) {
					op.Value[j] = byte(rng.IntN(256))
				}
			}
			op.Flags = []uint64{0, 0, 0, 0, 1, 2, 3, 4, 5, 8, 1 << 40}[rng.IntN(11)]
			if s.Type == spec.MapProgArray || s.Type == spec.MapPerfEventArray {
				copy(op.Value, "\xff\xff\xff\x7f") // no file descriptor and no program
			}
		}
	}
	return ops
}

// randomPrefix makes a key of an LPM trie: few different bits, so that prefixes
// contain each other, and sometimes a prefix that is too long.
func randomPrefix(rng *rand.Rand, size int) []byte {
	data := make([]byte, size-4)
	for i := range data {
		data[i] = []byte{0, 0, 0x80, 0xff, 0xc1}[rng.IntN(5)]
	}
	bits := rng.IntN(8*len(data) + 1)
	if rng.IntN(4) == 0 {
		bits = 8 * len(data)
	}
	if rng.IntN(30) == 0 {
		bits++
	}
	return append(binary.LittleEndian.AppendUint32(nil, uint32(bits)), data...)
}

// keyRange is the number of keys that random operations use: more than there is
// room for, but in LRU maps so few that nothing has to be dropped, because the
// kernel drops other elements than we do.
func keyRange(s spec.MapSpec) int {
	if s.Type == spec.MapLRUHash || s.Type == spec.MapLRUPerCPUHash {
		return 12
	}
	return 2*int(s.MaxEntries) + 1
}

func boolMask(b bool) int {
	if b {
		return -1
	}
	return 0
}

func ourOp(m runtime.Map, op mapOp) opResult {
	var out []byte
	var err error
	switch op.Op {
	case "lookup":
		out, err = m.Lookup(op.Key)
	case "update":
		err = m.Update(op.Key, op.Value, op.Flags)
	case "delete":
		err = m.Delete(op.Key)
	default:
		out, err = m.NextKey(op.Key)
	}
	if err != nil {
		e, ok := errors.AsType[spec.Errno](err)
		if !ok {
			e = -1
		}
		return opResult{Errno: e}
	}
	return opResult{Out: out}
}

// The kernel and we refuse the same maps with the same numbers.
func TestMapCreateLikeKernel(t *testing.T) {
	types := []spec.MapType{
		spec.MapArray, spec.MapHash, spec.MapPerCPUArray, spec.MapPerCPUHash, spec.MapLRUHash, spec.MapLRUPerCPUHash,
		spec.MapLPMTrie, spec.MapProgArray, spec.MapPerfEventArray, spec.MapRingBuf,
	}
	var specs []spec.MapSpec
	add := func(s spec.MapSpec) {
		s.Name = fmt.Sprintf("m%d", len(specs))
		specs = append(specs, s)
	}
	for _, typ := range types {
		base := spec.MapSpec{Type: typ, KeySize: 4, ValueSize: 4, MaxEntries: 4}
		switch typ {
		case spec.MapLPMTrie:
			base = spec.MapSpec{Type: typ, KeySize: 8, ValueSize: 4, MaxEntries: 4, Flags: spec.MapNoPrealloc}
			for _, n := range []uint32{4, 5, 260, 261} {
				s := base
				s.KeySize = n
				add(s)
			}
			for n := uint32(4<<20 - 320); n < 4<<20-256; n += 8 {
				s := base
				s.ValueSize = n
				add(s)
				s.ValueSize++
				add(s)
			}
		case spec.MapRingBuf:
			base = spec.MapSpec{Type: typ, MaxEntries: 4096}
		}
		for bit := range 20 {
			s := base
			s.Flags |= 1 << bit
			// A ring buffer that overwrites and tokens are of later kernels or need
			// more than flags.
			if s.Flags&(1<<14|1<<15|1<<16|1<<19|1<<11) == 0 || typ != spec.MapRingBuf && bit == 11 {
				add(s)
			}
		}
		for _, n := range []uint32{0, 1, 3, 5, 8, 4096, 4097, 8192, 12288, 32768, 32769, 1 << 22, 1<<22 - 48, 1<<22 - 52, 1<<22 - 53, 1 << 31} {
			s := base
			s.KeySize = n
			add(s)
			s = base
			s.ValueSize = n
			if n != 1<<31 && (n < 1<<20 || typ != spec.MapArray) { // no hundreds of MiB of the kernel's memory
				add(s)
			}
			if n < 1<<20 {
				s = base
				s.MaxEntries = n
				add(s)
			}
		}
		for _, f := range []spec.MapFlags{
			spec.MapRdOnly | spec.MapWrOnly, spec.MapRdOnlyProg | spec.MapWrOnlyProg, spec.MapRdOnly | spec.MapRdOnlyProg,
			spec.MapNoPrealloc | spec.MapZeroSeed,
		} {
			s := base
			s.Flags |= f
			add(s)
		}
	}
	answer := askKernel(t, kernelJob{Maps: specs})
	for i, s := range specs {
		if s.Type == spec.MapPerfEventArray && (s.MaxEntries == 0 || s.KeySize == 0 || s.ValueSize == 0) {
			continue // the library fills the sizes in
		}
		if s.Type == spec.MapRingBuf && s.MaxEntries != 0 && answer.MapErrs[i] == spec.EINVAL {
			continue // here the size is rounded up, as libbpf does
		}
		if answer.MapErrs[i] == -1 {
			continue // refused by the library before the kernel saw it
		}
		rt := newRuntime(t, runtime.Options{CPUs: answer.CPUs})
		_, err := rt.Load(&spec.CollectionSpec{Maps: []*spec.MapSpec{&s}})
		got := spec.Errno(0)
		if err != nil {
			got, _ = errors.AsType[spec.Errno](err)
		}
		if got != answer.MapErrs[i] {
			t.Errorf("%s key %d value %d entries %d flags %s: %v (%v), kernel %v",
				s.Type, s.KeySize, s.ValueSize, s.MaxEntries, s.Flags, got, err, answer.MapErrs[i])
		}
		rt.Close()
	}
}
