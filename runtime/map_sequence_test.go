package runtime_test

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"bpfvm/runtime"
	"bpfvm/spec"
)

var mapOpsFlag = flag.Int("map-ops", 600, "operations on each map type that are compared with the kernel's")

// mapCase is a map of which random operations give the same results here and in the
// kernel.
type mapCase struct {
	spec.MapSpec
	objects []spec.MapSpec // what a map of maps may hold
	sockets []string       // what a map of sockets may hold, or keys of storage
	keys    int            // number of different keys; 0: twice as many as there is room for
}

func mapCases() []mapCase {
	const zeroSeed = spec.MapZeroSeed // the kernel's order of keys is ours then
	inner := &spec.MapSpec{Name: "inner", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 2}
	flexible := &spec.MapSpec{Name: "inner", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 2, Flags: spec.MapInnerMap}
	innerHash := &spec.MapSpec{Name: "inner", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 2}
	objects := []spec.MapSpec{*inner, *inner, *flexible, *innerHash,
		{Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 3},
		{Type: spec.MapArray, KeySize: 4, ValueSize: 4, MaxEntries: 2},
		{Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 2, Flags: spec.MapRdOnlyProg},
		{Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 2, Flags: spec.MapRdOnly},
		{Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 9, Flags: spec.MapInnerMap},
		{Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 9},
		{Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 2, Flags: spec.MapNoPrealloc},
	}
	udp := []string{"reuseport", "reuseport", "reuseport"}
	for i := range objects {
		objects[i].Name = "object" + string(rune('a'+i))
	}
	cases := []mapCase{
		{MapSpec: spec.MapSpec{Name: "array", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 6}},
		{MapSpec: spec.MapSpec{Name: "array_odd", Type: spec.MapArray, KeySize: 4, ValueSize: 5, MaxEntries: 1}},
		{MapSpec: spec.MapSpec{Name: "array_rdonly", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: spec.MapRdOnly}},
		{MapSpec: spec.MapSpec{Name: "array_wronly", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: spec.MapWrOnly}},
		{MapSpec: spec.MapSpec{Name: "hash", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "hash_one", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "hash_big", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 100, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "hash_nopre", Type: spec.MapHash, KeySize: 8, ValueSize: 3, MaxEntries: 7, Flags: zeroSeed | spec.MapNoPrealloc}},
		{MapSpec: spec.MapSpec{Name: "hash_key3", Type: spec.MapHash, KeySize: 3, ValueSize: 8, MaxEntries: 10, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "hash_key12", Type: spec.MapHash, KeySize: 12, ValueSize: 8, MaxEntries: 10, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "hash_key29", Type: spec.MapHash, KeySize: 29, ValueSize: 8, MaxEntries: 12, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "percpu_array", Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 5}},
		{MapSpec: spec.MapSpec{Name: "percpu_array_odd", Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 12, MaxEntries: 5}},
		{MapSpec: spec.MapSpec{Name: "percpu_hash", Type: spec.MapPerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 6, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "percpu_hash_nopre", Type: spec.MapPerCPUHash, KeySize: 4, ValueSize: 4, MaxEntries: 6, Flags: zeroSeed | spec.MapNoPrealloc}},
		// Large enough that the kernel, too, drops nothing.
		{keys: 12, MapSpec: spec.MapSpec{Name: "lru_hash", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 200, Flags: zeroSeed}},
		{keys: 12, MapSpec: spec.MapSpec{Name: "lru_hash_own_lists", Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 201, Flags: zeroSeed | spec.MapNoCommonLRU}},
		{keys: 12, MapSpec: spec.MapSpec{Name: "lru_percpu_hash", Type: spec.MapLRUPerCPUHash, KeySize: 4, ValueSize: 12, MaxEntries: 200, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "lpm_trie", Type: spec.MapLPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: 100, Flags: spec.MapNoPrealloc}},
		{MapSpec: spec.MapSpec{Name: "lpm_trie_small", Type: spec.MapLPMTrie, KeySize: 6, ValueSize: 3, MaxEntries: 5, Flags: spec.MapNoPrealloc}},
		{MapSpec: spec.MapSpec{Name: "lpm_trie_byte", Type: spec.MapLPMTrie, KeySize: 5, ValueSize: 1, MaxEntries: 1000, Flags: spec.MapNoPrealloc}},
		{MapSpec: spec.MapSpec{Name: "lpm_trie_ipv6", Type: spec.MapLPMTrie, KeySize: 20, ValueSize: 4, MaxEntries: 50, Flags: spec.MapNoPrealloc}},
		{MapSpec: spec.MapSpec{Name: "prog_array", Type: spec.MapProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 4}},
		{MapSpec: spec.MapSpec{Name: "perf", Type: spec.MapPerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 1}},
		{MapSpec: spec.MapSpec{Name: "cgroup_array", Type: spec.MapCgroupArray, KeySize: 4, ValueSize: 4, MaxEntries: 3}},
		{MapSpec: spec.MapSpec{Name: "stack_trace", Type: spec.MapStackTrace, KeySize: 4, ValueSize: 80, MaxEntries: 3}},
		{MapSpec: spec.MapSpec{Name: "ringbuf", Type: spec.MapRingBuf, MaxEntries: 4096}},
		{MapSpec: spec.MapSpec{Name: "array_lock", Type: spec.MapArray, KeySize: 4, ValueSize: 24, MaxEntries: 3, Section: lockedValues}},
		{MapSpec: spec.MapSpec{Name: "hash_lock", Type: spec.MapHash, KeySize: 4, ValueSize: 24, MaxEntries: 5, Flags: zeroSeed, Section: lockedValues}},
		{MapSpec: spec.MapSpec{Name: "hash_nopre_lock", Type: spec.MapHash, KeySize: 4, ValueSize: 24, MaxEntries: 5, Flags: zeroSeed | spec.MapNoPrealloc, Section: lockedValues}},
		{sockets: udp, MapSpec: spec.MapSpec{Name: "sk_storage_lock", Type: spec.MapSKStorage, KeySize: 4, ValueSize: 24, Flags: spec.MapNoPrealloc, Section: lockedValues}},
		{MapSpec: spec.MapSpec{Name: "user_ringbuf", Type: spec.MapUserRingBuf, MaxEntries: 4096}},
		{MapSpec: spec.MapSpec{Name: "queue", Type: spec.MapQueue, ValueSize: 3, MaxEntries: 4}},
		{MapSpec: spec.MapSpec{Name: "queue_one", Type: spec.MapQueue, ValueSize: 8, MaxEntries: 1}},
		{MapSpec: spec.MapSpec{Name: "queue_rdonly", Type: spec.MapQueue, ValueSize: 8, MaxEntries: 1, Flags: spec.MapRdOnly}},
		{MapSpec: spec.MapSpec{Name: "stack", Type: spec.MapStack, ValueSize: 12, MaxEntries: 5}},
		{MapSpec: spec.MapSpec{Name: "bloom", Type: spec.MapBloomFilter, ValueSize: 4, MaxEntries: 40, Flags: zeroSeed}},
		{MapSpec: spec.MapSpec{Name: "bloom_3", Type: spec.MapBloomFilter, ValueSize: 7, MaxEntries: 100, Flags: zeroSeed, Extra: 3}},
		{objects: objects, MapSpec: spec.MapSpec{Name: "array_of_maps", Type: spec.MapArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 5, Inner: inner}},
		{objects: objects, MapSpec: spec.MapSpec{Name: "array_of_flexible", Type: spec.MapArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 2, Inner: flexible}},
		{objects: objects, MapSpec: spec.MapSpec{Name: "hash_of_maps", Type: spec.MapHashOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 7, Inner: innerHash, Flags: zeroSeed}},
		{objects: objects, MapSpec: spec.MapSpec{Name: "hash_of_maps_nopre", Type: spec.MapHashOfMaps, KeySize: 9, ValueSize: 4, MaxEntries: 4, Inner: inner, Flags: zeroSeed | spec.MapNoPrealloc}},
		{MapSpec: spec.MapSpec{Name: "devmap", Type: spec.MapDevmap, KeySize: 4, ValueSize: 4, MaxEntries: 4}},
		{MapSpec: spec.MapSpec{Name: "devmap_prog", Type: spec.MapDevmap, KeySize: 4, ValueSize: 8, MaxEntries: 4}},
		{MapSpec: spec.MapSpec{Name: "devmap_hash", Type: spec.MapDevmapHash, KeySize: 4, ValueSize: 4, MaxEntries: 5}},
		{MapSpec: spec.MapSpec{Name: "devmap_hash_prog", Type: spec.MapDevmapHash, KeySize: 4, ValueSize: 8, MaxEntries: 5}},
		{MapSpec: spec.MapSpec{Name: "cpumap", Type: spec.MapCPUMap, KeySize: 4, ValueSize: 4, MaxEntries: 1}},
		{sockets: []string{"xdp", "xdp"}, MapSpec: spec.MapSpec{Name: "xskmap", Type: spec.MapXSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 3}},
		{sockets: udp, MapSpec: spec.MapSpec{Name: "sockmap", Type: spec.MapSockmap, KeySize: 4, ValueSize: 4, MaxEntries: 3}},
		{sockets: udp, MapSpec: spec.MapSpec{Name: "sockmap_cookie", Type: spec.MapSockmap, KeySize: 4, ValueSize: 8, MaxEntries: 3}},
		{sockets: udp, MapSpec: spec.MapSpec{Name: "sockhash", Type: spec.MapSockhash, KeySize: 4, ValueSize: 4, MaxEntries: 3}},
		{sockets: udp, MapSpec: spec.MapSpec{Name: "sockhash_cookie", Type: spec.MapSockhash, KeySize: 4, ValueSize: 8, MaxEntries: 3}},
		{sockets: []string{"reuseport", "reuseport", "reuseport"}, MapSpec: spec.MapSpec{Name: "reuseport_sockarray", Type: spec.MapReuseportSockarray, KeySize: 4, ValueSize: 8, MaxEntries: 3}},
		{sockets: []string{"reuseport", "reuseport", "reuseport"}, MapSpec: spec.MapSpec{Name: "reuseport_small", Type: spec.MapReuseportSockarray, KeySize: 4, ValueSize: 4, MaxEntries: 3}},
		{sockets: udp, MapSpec: spec.MapSpec{Name: "sk_storage", Type: spec.MapSKStorage, KeySize: 4, ValueSize: 8, Flags: spec.MapNoPrealloc, KeyTypeID: 1, ValueTypeID: 1}},
		{sockets: []string{"pid"}, MapSpec: spec.MapSpec{Name: "task_storage", Type: spec.MapTaskStorage, KeySize: 4, ValueSize: 8, Flags: spec.MapNoPrealloc, KeyTypeID: 1, ValueTypeID: 1}},
		{keys: 3, MapSpec: spec.MapSpec{Name: "cgroup_storage", Type: spec.MapCgroupStorage, KeySize: 8, ValueSize: 8}},
		{keys: 3, MapSpec: spec.MapSpec{Name: "percpu_cgroup_storage", Type: spec.MapPerCPUCgroupStorage, KeySize: 16, ValueSize: 8}},
	}
	return cases
}

// Random operations of user space give the same results here and in the kernel:
// values, keys in order, and error numbers.
func TestMapOpsLikeKernel(t *testing.T) {
	cpus := askKernel(t, kernelJob{}).CPUs
	for i, mc := range mapCases() {
		t.Run(mc.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			n, chunk := *mapOpsFlag, 20000 // the map starts anew after so many
			if len(mc.objects) > 0 {
				// The kernel waits for running programs after each change of such a map.
				n, chunk = n/4, 2000
			}
			for done := 0; done < n; done += chunk {
				mc.compare(t, cpus, mc.randomOps(rng, cpus, min(chunk, n-done)))
			}
		})
	}
}

func (mc *mapCase) compare(t *testing.T, cpus int, ops []mapOp) {
	t.Helper()
	answer := askKernel(t, kernelJob{Maps: []spec.MapSpec{mc.MapSpec}, Objects: mc.objects, Sockets: mc.sockets, Ops: ops})
	if answer.MapErrs[0] != 0 {
		t.Fatalf("kernel: create: %v", answer.MapErrs[0])
	}
	rt := newRuntime(t, runtime.Options{CPUs: cpus})
	cs := &spec.CollectionSpec{}
	if mc.Section == lockedValues {
		cs.BTF, mc.KeyTypeID, mc.ValueTypeID = lockedBTF(t)
	}
	for i := range mc.objects {
		cs.Maps = append(cs.Maps, &mc.objects[i])
	}
	cs.Maps = append(cs.Maps, &mc.MapSpec)
	m := load(t, rt, cs).Map(mc.Name)
	if mc.Type == spec.MapPerfEventArray { // the kernel's starts without events
		for i := range mc.MaxEntries {
			_ = m.Delete(key32(int(i)))
		}
	}
	for i, op := range ops {
		// Objects have their numbers as ids: inner maps are loaded first, and any socket
		// has some number.
		if op.KeyObject != 0 {
			op.Key = mc.object(op.KeyObject, mc.KeySize)
		}
		if op.Object != 0 {
			op.Value = mc.object(op.Object, mc.ValueSize)
		}
		if got, want := ourOp(m, op), answer.Ops[i]; got.String() != want.String() || !bytes.Equal(got.Out, want.Out) {
			t.Fatalf("operation %d: %s key %x value %x keys %x room %d flags %d: %s %x, kernel %s %x",
				i, op.Op, op.Key, op.Value, op.Keys, op.N, op.Flags, got, got.Out, want, want.Out)
		}
	}
}

// lockedValues is the section of maps whose values have a lock; see lockedValue.
const lockedValues = "locked"

// lockedValue is a value with a lock in it, and a timer's size of padding behind.
var (
	btfInt      = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	lockedValue = &btf.Struct{Name: "value", Size: 24, Members: []btf.Member{
		{Name: "a", Type: btfInt},
		{Name: "lock", Type: &btf.Struct{Name: "bpf_spin_lock", Size: 4, Members: []btf.Member{
			{Name: "val", Type: &btf.Int{Name: "__u32", Size: 4}},
		}}, Offset: 32},
		{Name: "b", Type: &btf.Array{Index: btfInt, Type: btfInt, Nelems: 4}, Offset: 64},
	}}
)

// lockedBTF is the BTF of an object with such values, and the ids of key and value.
func lockedBTF(t *testing.T) (raw []byte, key, value uint32) {
	t.Helper()
	b, err := btf.NewBuilder([]btf.Type{btfInt, lockedValue}, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err1 := b.Add(btfInt)
	v, err2 := b.Add(lockedValue)
	raw, err3 := b.Marshal(nil, nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return raw, uint32(k), uint32(v)
}

// object is the value that stands for an object here.
func (mc *mapCase) object(n int, size uint32) []byte {
	b := make([]byte, size)
	if n > max(len(mc.objects), len(mc.sockets)) {
		if len(mc.sockets) > 0 {
			return b // every other number is a socket
		}
		n = noObject
	}
	copy(b, key32(n))
	return b
}

// randomOps makes operations of which about half hit something.
func (mc *mapCase) randomOps(rng *rand.Rand, cpus, n int) []mapOp {
	s := &mc.MapSpec
	ops := make([]mapOp, n)
	for i := range ops {
		op := &ops[i]
		op.Op = []string{"lookup", "update", "update", "update", "delete", "next", "take"}[rng.IntN(7)]
		op.Key = mc.randomKey(rng)
		if op.Op == "next" && rng.IntN(4) == 0 {
			op.Key = nil
		}
		switch {
		case op.Op == "update", s.Type == spec.MapBloomFilter:
			op.Value = mc.randomValue(rng, cpus)
		}
		switch op.Op {
		case "update":
			op.Flags = []uint64{0, 0, 0, 0, 1, 2, 3, 4, 5, 8, 1 << 40, 6, 4}[rng.IntN(13)]
		case "lookup":
			if s.Type != spec.MapBloomFilter { // Has takes no flags
				op.Flags = []uint64{0, 0, 0, 4}[rng.IntN(4)]
			}
		case "take":
			op.Flags = []uint64{0, 0, 0, 4, 1}[rng.IntN(5)]
		}
		if n := max(len(mc.objects), len(mc.sockets)); n > 0 {
			op.Object = 1 + rng.IntN(n+1)
			if s.Type == spec.MapSKStorage || s.Type == spec.MapTaskStorage {
				op.Object, op.KeyObject = 0, op.Object
			}
		}
	}
	return ops
}

func (mc *mapCase) randomKey(rng *rand.Rand) []byte {
	s := &mc.MapSpec
	switch {
	case s.KeySize == 0:
		return nil
	case s.Type == spec.MapLPMTrie:
		return randomPrefix(rng, int(s.KeySize))
	}
	n := mc.keys
	if n == 0 {
		n = 2*int(s.MaxEntries) + 1
	}
	key := make([]byte, s.KeySize)
	k := rng.IntN(n)
	key[0] = byte(k)
	switch s.Type {
	case spec.MapHash, spec.MapPerCPUHash, spec.MapHashOfMaps:
		key[len(key)-1] ^= byte(k * 7)
	}
	return key
}

func (mc *mapCase) randomValue(rng *rand.Rand, cpus int) []byte {
	s := &mc.MapSpec
	switch s.Type {
	case spec.MapProgArray, spec.MapPerfEventArray: // no file descriptor, and no program here
		return key32(1<<31 - 1)
	case spec.MapCgroupArray: // nor is the standard input a cgroup
		return key32(0)
	}
	switch s.Type {
	case spec.MapDevmap, spec.MapDevmapHash: // the loopback device, or none, and no program
		value := make([]byte, s.ValueSize)
		value[0] = byte(rng.IntN(2))
		if s.ValueSize == 8 {
			copy(value[4:], [][]byte{key32(0), key32(1<<31 - 1), {0xff, 0xff, 0xff, 0xff}}[rng.IntN(3)])
		}
		return value
	case spec.MapCPUMap: // changing a queue starts and stops a thread: seldom
		return key32([]int{0, 0, 0, 0, 16385, 1 << 30, 8}[rng.IntN(7)])
	}
	size := int(s.ValueSize)
	if s.Type.PerCPU() {
		size = (size + 7) &^ 7 * cpus
	}
	value := make([]byte, size)
	for j := range value {
		// the padding of per-CPU values is not kept by every interface
		if stride := (int(s.ValueSize) + 7) &^ 7; !s.Type.PerCPU() || j%stride < int(s.ValueSize) {
			value[j] = byte(rng.IntN(256))
		}
	}
	if s.Type == spec.MapBloomFilter { // few values, so that some are found
		clear(value[1:])
		value[0] &= 63
	}
	return value
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
	return append(key32(bits), data...)
}

func ourOp(m runtime.Map, op mapOp) opResult {
	if strings.HasPrefix(op.Op, "batch_") {
		return ourBatch(m, op)
	}
	var out []byte
	var err error
	switch op.Op {
	case "lookup":
		if b, ok := m.(*runtime.BloomFilter); ok {
			if err = b.Has(op.Value); err == nil {
				out = op.Value
			}
			break
		}
		out, err = runtime.LookupFlags(m, op.Key, op.Flags)
	case "update":
		err = m.Update(op.Key, op.Value, op.Flags)
	case "delete":
		err = m.Delete(op.Key)
	case "take":
		out, err = m.LookupAndDelete(op.Key, op.Flags)
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
