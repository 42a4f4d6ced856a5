package spec_test

import (
	"testing"

	"bpfvm/spec"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Which sizes and flags a map may be created with, one number at a time, the
// others as they must be.
func TestKernelMapRules(t *testing.T) {
	needKernel(t)
	sizes := []uint32{0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 20, 64, 256, 260, 261, 512, 513, 1016, 1024, 4096, 4097, 8192, 12288, 32768, 32769}
	number := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	for _, m := range spec.MapTypes()[1:] {
		if m.Type == spec.MapStructOps {
			continue // of a structure of the kernel
		}
		// The library puts what is right for 0 in these, and in maps of maps.
		countsCPUs := m.Type == spec.MapPerfEventArray || m.Type == spec.MapCPUMap
		base := ebpf.MapSpec{
			Type: ebpf.MapType(m.Type), KeySize: valid(m.KeySize), ValueSize: valid(m.ValueSize), MaxEntries: m.MaxEntries.Min, Flags: uint32(m.Must),
		}
		if m.BTF == spec.MapBTFMust {
			base.Key, base.Value = number, number
		}
		if m.Type == spec.MapArrayOfMaps || m.Type == spec.MapHashOfMaps {
			base.InnerMap = &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
		}
		create := func(change func(*ebpf.MapSpec)) bool {
			ms := base
			change(&ms)
			k, err := ebpf.NewMap(&ms)
			if err == nil {
				k.Close()
			}
			return err == nil
		}
		if !create(func(*ebpf.MapSpec) {}) {
			t.Errorf("%s: the smallest map of the table is refused: %+v", m.Name, base)
			continue
		}
		check := func(what string, n uint32, want bool, change func(*ebpf.MapSpec)) {
			if got := create(change); got != want {
				t.Errorf("%s: %s %d: the kernel says %v, the table %v", m.Name, what, n, got, want)
			}
		}
		for _, n := range sizes {
			if n == 0 && (countsCPUs || base.InnerMap != nil) {
				continue
			}
			check("key size", n, m.KeySize.Allows(n), func(ms *ebpf.MapSpec) { ms.KeySize = n })
			if base.Value == nil { // else the type decides
				check("value size", n, m.ValueSize.Allows(n), func(ms *ebpf.MapSpec) { ms.ValueSize = n })
			}
			if n <= 64 || n == 4097 && m.MaxEntries.Power {
				check("entries", n, m.MaxEntries.Allows(n), func(ms *ebpf.MapSpec) { ms.MaxEntries = n })
			}
		}
		for bit := range 20 {
			flag := spec.MapFlags(1 << bit)
			switch {
			case m.Must&flag != 0:
				check("without flag", uint32(flag), false, func(ms *ebpf.MapSpec) { ms.Flags &^= uint32(flag) })
			case flag == spec.MapFlags(1<<14) || flag == spec.MapFlags(1<<16) || flag == spec.MapFlags(1<<15):
				// Flags of bpf(2)'s arguments, not of the map.
			default:
				check("flag", uint32(flag), m.Flags&flag != 0, func(ms *ebpf.MapSpec) {
					ms.Flags |= uint32(flag)
					if flag == spec.MapFlags(1<<5) && m.Flags&flag != 0 {
						ms.ValueSize = 32 // of struct bpf_stack_build_id
					}
				})
			}
		}
	}
}

// valid returns a size of the set that is fit for most: 4 or 8 where it can.
func valid(s spec.Sizes) uint32 {
	for _, n := range []uint32{4, 8} {
		if s.Allows(n) {
			return n
		}
	}
	return s.Min
}
