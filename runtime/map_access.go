package runtime

import (
	"fmt"

	"bpfvm/spec"
)

// access is what programs may do with the elements of a map by the three general
// helpers.
type access uint8

const (
	mayLookup access = 1 << iota
	mayUpdate
	mayDelete
	mayAll = mayLookup | mayUpdate | mayDelete
)

// progAccess has the map types that only some of the general helpers take, or none:
// they have helpers of their own (kernel/bpf/verifier.c,
// check_map_func_compatibility). Types that are not listed take all.
var progAccess = map[spec.MapType]access{
	spec.MapProgArray:           0,
	spec.MapPerfEventArray:      0,
	spec.MapRingBuf:             0,
	spec.MapUserRingBuf:         0,
	spec.MapStackTrace:          0,
	spec.MapCgroupArray:         0,
	spec.MapCgroupStorage:       0,
	spec.MapPerCPUCgroupStorage: 0,
	spec.MapDevmap:              mayLookup,
	spec.MapDevmapHash:          mayLookup,
	spec.MapCPUMap:              0,
	spec.MapXSKMap:              mayLookup,
	spec.MapArrayOfMaps:         mayLookup,
	spec.MapHashOfMaps:          mayLookup,
	spec.MapReuseportSockarray:  0,
	spec.MapQueue:               0,
	spec.MapStack:               0,
	spec.MapSKStorage:           0,
	spec.MapInodeStorage:        0,
	spec.MapTaskStorage:         0,
	spec.MapCgrpStorage:         0,
	spec.MapBloomFilter:         0,
	spec.MapArena:               0,
}

// accessOf is what programs may do with maps of a type.
func accessOf(t spec.MapType) access {
	if a, ok := progAccess[t]; ok {
		return a
	}
	return mayAll
}

// refuse says why programs may not do what mapBase.access does not grant: the helper
// does not take maps of this type, or the map is read-only for programs (verifier.c,
// record_func_map). No verified program gets there.
func (b *mapBase) refuse(what access) error {
	if accessOf(b.spec.Type)&what != 0 {
		return fmt.Errorf("write into map forbidden: %q is read-only for programs", b.spec.Name)
	}
	return fmt.Errorf("cannot pass map %q of type %s into this helper", b.spec.Name, b.spec.Type)
}

// grantAccess fills in what programs may do; it is asked on every call.
func (b *mapBase) grantAccess() {
	b.access = accessOf(b.spec.Type)
	if b.spec.Flags&spec.MapRdOnlyProg != 0 {
		b.access &^= mayUpdate | mayDelete
	}
}
