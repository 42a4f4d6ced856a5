package runtime_test

import (
	"errors"
	"fmt"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// baseSpec is a map of a type that can be created.
func baseSpec(typ spec.MapType) spec.MapSpec {
	s := spec.MapSpec{Type: typ, KeySize: 4, ValueSize: 4, MaxEntries: 4}
	switch typ {
	case spec.MapArrayOfMaps, spec.MapHashOfMaps:
		s.Inner = &spec.MapSpec{Name: "inner", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	case spec.MapLPMTrie:
		s.KeySize, s.Flags = 8, spec.MapNoPrealloc
	case spec.MapQueue, spec.MapStack, spec.MapBloomFilter:
		s.KeySize = 0
	case spec.MapRingBuf, spec.MapUserRingBuf:
		return spec.MapSpec{Type: typ, MaxEntries: 4096}
	case spec.MapStackTrace:
		s.ValueSize = 80
	case spec.MapSKStorage, spec.MapInodeStorage, spec.MapTaskStorage, spec.MapCgrpStorage:
		s.MaxEntries, s.Flags, s.KeyTypeID, s.ValueTypeID = 0, spec.MapNoPrealloc, 1, 2
	case spec.MapCgroupStorage, spec.MapPerCPUCgroupStorage:
		s.MaxEntries, s.KeySize = 0, 8
	}
	return s
}

// The kernel and we refuse the same maps with the same numbers.
func TestMapCreateLikeKernel(t *testing.T) {
	types := []spec.MapType{
		spec.MapArray, spec.MapHash, spec.MapPerCPUArray, spec.MapPerCPUHash, spec.MapLRUHash, spec.MapLRUPerCPUHash,
		spec.MapLPMTrie, spec.MapProgArray, spec.MapPerfEventArray, spec.MapRingBuf, spec.MapUserRingBuf, spec.MapCgroupArray,
		spec.MapDevmap, spec.MapDevmapHash, spec.MapCPUMap, spec.MapXSKMap, spec.MapSockmap, spec.MapSockhash,
		spec.MapReuseportSockarray, spec.MapSKStorage, spec.MapInodeStorage, spec.MapTaskStorage, spec.MapCgrpStorage,
		spec.MapCgroupStorage, spec.MapPerCPUCgroupStorage,
		spec.MapArrayOfMaps, spec.MapHashOfMaps, spec.MapStackTrace, spec.MapQueue, spec.MapStack, spec.MapBloomFilter,
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
		case spec.MapArrayOfMaps, spec.MapHashOfMaps:
			base.Inner = &spec.MapSpec{Name: "inner", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 1}
			for _, typ := range types {
				s := base
				s.Inner = new(spec.MapSpec)
				*s.Inner = baseSpec(typ)
				s.Inner.Name = "inner"
				if s.Inner.Inner == nil {
					add(s)
				}
				s.Inner = new(spec.MapSpec)
				*s.Inner = baseSpec(typ)
				s.Inner.MaxEntries = 0
				if s.Inner.Inner == nil && typ != spec.MapPerfEventArray {
					add(s)
				}
			}
		case spec.MapStackTrace, spec.MapQueue, spec.MapStack, spec.MapBloomFilter:
			base = baseSpec(typ)
			for _, n := range []uint64{1, 5, 15, 16, 1 << 40} {
				s := base
				s.Extra = n
				add(s)
			}
			for _, n := range []uint32{8, 16, 24, 32, 64, 127 * 8, 128 * 8, 127 * 32, 128 * 32, 1<<22 - 1, 1 << 22, 1<<22 + 1} {
				s := base
				s.ValueSize = n
				add(s)
				s.Flags = spec.MapStackBuildID
				add(s)
			}
		case spec.MapSKStorage, spec.MapInodeStorage, spec.MapTaskStorage, spec.MapCgrpStorage,
			spec.MapCgroupStorage, spec.MapPerCPUCgroupStorage:
			base = baseSpec(typ)
			for n := uint32(1<<16 - 200); n <= 1<<16; n++ {
				s := base
				s.ValueSize = n
				add(s)
			}
			s := base
			s.KeyTypeID, s.ValueTypeID = 0, 0
			add(s)
			s.KeySize = 16
			add(s)
		case spec.MapRingBuf, spec.MapUserRingBuf:
			base = spec.MapSpec{Type: typ, MaxEntries: 4096}
		}
		for bit := range 20 {
			s := base
			s.Flags |= 1 << bit
			// A ring buffer that overwrites and tokens are of later kernels or need
			// more than flags.
			if s.Flags&(1<<14|1<<15|1<<16|1<<19|1<<11) == 0 || typ != spec.MapRingBuf && typ != spec.MapUserRingBuf && bit == 11 {
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
	answer := askKernel(t, kernelJob{Maps: specs, NoElems: true})
	for i, s := range specs {
		if s.Type == spec.MapPerfEventArray && (s.MaxEntries == 0 || s.KeySize == 0 || s.ValueSize == 0) ||
			s.Inner != nil && (s.ValueSize == 0 || s.Inner.Type == spec.MapCPUMap) || s.Type == spec.MapCPUMap && s.MaxEntries != 4 {
			continue // the library fills the sizes in
		}
		if (s.Type == spec.MapRingBuf || s.Type == spec.MapUserRingBuf) && s.MaxEntries != 0 && answer.MapErrs[i] == spec.EINVAL {
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
