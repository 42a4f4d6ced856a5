package runtime

import (
	"encoding/binary"
	"testing"

	"bpfvm/interp"
	"bpfvm/spec"
)

// hotMaps are the maps that programs use in the middle of packets and system calls.
var hotMaps = []spec.MapSpec{
	{Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 1024},
	{Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1024},
	{Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1024},
	{Type: spec.MapHash, KeySize: 20, ValueSize: 64, MaxEntries: 1024, Flags: spec.MapNoPrealloc},
	{Type: spec.MapPerCPUHash, KeySize: 8, ValueSize: 8, MaxEntries: 1024},
	{Type: spec.MapLRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 512},
	{Type: spec.MapLRUPerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 512},
	{Type: spec.MapLPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: 1024, Flags: spec.MapNoPrealloc},
}

// hotMap makes a map and a key and value for it; next changes the key.
func hotMap(tb testing.TB, s spec.MapSpec) (m kmap, key, value []byte, next func()) {
	tb.Helper()
	rt, err := New(Options{Engine: interp.Fast, CPUs: 2})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { rt.Close() })
	s.Name = "m"
	if m, err = rt.newMap(&s, nil); err != nil {
		tb.Fatal(err)
	}
	key, value = make([]byte, s.KeySize), make([]byte, s.ValueSize)
	i := uint32(0)
	next = func() {
		i = (i + 1) % 1024
		if s.Type == spec.MapLPMTrie {
			binary.LittleEndian.PutUint32(key, 32)
			binary.BigEndian.PutUint32(key[4:], i<<8)
			return
		}
		binary.LittleEndian.PutUint32(key, i)
	}
	for range 2048 {
		next()
		if e := m.updateElem(0, key, value, spec.UpdateAny); e != 0 {
			tb.Fatal(e)
		}
	}
	return m, key, value, next
}

// Once a map has its memory, operations of programs allocate nothing.
func TestMapsAllocateNothing(t *testing.T) {
	for _, s := range hotMaps {
		m, key, value, next := hotMap(t, s)
		ops := map[string]func(){
			"lookup": func() { m.lookupElem(1, key) },
			"update": func() { m.updateElem(1, key, value, spec.UpdateAny) },
			"delete and add": func() {
				m.deleteElem(key)
				m.updateElem(1, key, value, spec.UpdateNoExist)
			},
		}
		for name, op := range ops {
			n := testing.AllocsPerRun(2000, func() { next(); op() })
			if n != 0 {
				t.Errorf("%s: %s: %v allocations", s.Type, name, n)
			}
		}
	}
}

func BenchmarkMaps(b *testing.B) {
	for _, s := range hotMaps {
		m, key, value, next := hotMap(b, s)
		name := s.Type.String() + "/key=" + string(rune('0'+s.KeySize/10)) + string(rune('0'+s.KeySize%10))
		b.Run(name+"/lookup", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				next()
				m.lookupElem(1, key)
			}
		})
		b.Run(name+"/update", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				next()
				m.updateElem(1, key, value, spec.UpdateAny)
			}
		})
	}
}
