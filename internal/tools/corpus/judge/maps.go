package judge

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bpfvm/spec"

	"github.com/cilium/ebpf"
)

// Maps compares the maps of an object and lists the differences.
func Maps(ours *spec.CollectionSpec, theirs *ebpf.CollectionSpec) []string {
	var diffs []string
	for _, name := range slices.Sorted(maps.Keys(theirs.Maps)) {
		got := ours.Map(name)
		if got == nil {
			diffs = append(diffs, fmt.Sprintf("map %s is missing", name))
			continue
		}
		if d := compareMap(got, theirs.Maps[name]); d != "" {
			diffs = append(diffs, fmt.Sprintf("map %s: %s", name, d))
		}
	}
	return diffs
}

// compareMap compares what both libraries know of a map.
func compareMap(got *spec.MapSpec, want *ebpf.MapSpec) string {
	type def struct {
		Type                          uint32
		Key, Value, MaxEntries, Flags uint32
		Extra                         uint64
		Inner                         bool
		Contents                      int
	}
	g := def{uint32(got.Type), got.KeySize, got.ValueSize, got.MaxEntries, uint32(got.Flags), got.Extra,
		got.Inner != nil, len(got.Contents)}
	w := def{uint32(want.Type), want.KeySize, want.ValueSize, want.MaxEntries, want.Flags, want.MapExtra,
		want.InnerMap != nil, len(want.Contents)}
	// The other library sets this flag when it creates the map.
	g.Flags &^= uint32(spec.MapMmapable)
	w.Flags &^= uint32(spec.MapMmapable)
	switch got.Type {
	case spec.MapRingBuf, spec.MapUserRingBuf, spec.MapPerfEventArray:
		// Completed when it creates the map.
		g.MaxEntries, w.MaxEntries = 0, 0
		g.Key, w.Key, g.Value, w.Value = 0, 0, 0, 0
	case spec.MapArena:
		g.Contents = 0 // which it does not read
	}
	if got.Name == kconfig {
		g.Contents, w.Contents = 0, 0 // filled in when it creates the map
	}
	if g != w {
		return fmt.Sprintf("%+v, cilium/ebpf: %+v", g, w)
	}
	if g.Contents == 1 && (strings.HasPrefix(got.Name, ".") || got.Type == spec.MapStructOps) {
		if value, _ := want.Contents[0].Value.([]byte); !bytes.Equal(value, got.Contents[0].Value) {
			return "contents differ"
		}
		return ""
	}
	for i := range g.Contents {
		name, _ := want.Contents[i].Value.(string)
		if kv := got.Contents[i]; kv.Value == nil && name != kv.Program+kv.Map {
			return fmt.Sprintf("element %d is %s, cilium/ebpf: %s", i, kv.Program+kv.Map, name)
		}
	}
	return ""
}
