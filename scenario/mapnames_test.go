package scenario_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/interp"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// newMaps creates maps without programs.
func newMaps(t testing.TB, maps ...*spec.MapSpec) *scenario.Maps {
	t.Helper()
	rt, err := runtime.New(runtime.Options{Engine: interp.Fast, CPUs: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	c, err := rt.Load(&spec.CollectionSpec{Maps: maps})
	if err != nil {
		t.Fatal(err)
	}
	m, err := scenario.NewMaps(rt, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func array(name string) *spec.MapSpec {
	return &spec.MapSpec{Name: name, Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 2}
}

// What is dumped can be loaded again, for every type of map that is loaded from JSON.
func TestMapJSONOfEveryType(t *testing.T) {
	const noPrealloc = spec.MapNoPrealloc
	tests := []struct {
		maps []*spec.MapSpec
		json string
	}{
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 3, Inner: array("i")}, array("a"), array("b")},
			`[{"key": 0, "value": "b"}, {"key": 2, "value": "a"}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapHashOfMaps, KeySize: 8, ValueSize: 4, MaxEntries: 3, Inner: array("i")}, array("a")},
			`[{"key": 77, "value": "a"}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapQueue, ValueSize: 4, MaxEntries: 3}}, `[{"value": 1}, {"value": 2}, {"value": 3}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapStack, ValueSize: 4, MaxEntries: 3}}, `[{"value": 1}, {"value": 2}, {"value": 3}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapCgroupArray, KeySize: 4, ValueSize: 4, MaxEntries: 3}}, `[{"key": 1, "value": 4711}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapDevmap, KeySize: 4, ValueSize: 4, MaxEntries: 3}}, `[{"key": 1, "value": 2}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapDevmapHash, KeySize: 4, ValueSize: 8, MaxEntries: 3}}, `[{"key": 9, "value": {"ifindex": 2, "prog": 0}}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapCPUMap, KeySize: 4, ValueSize: 4, MaxEntries: 2}}, `[{"key": 1, "value": 192}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapXSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 2}}, `[{"key": 1, "value": 5}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapSockmap, KeySize: 4, ValueSize: 4, MaxEntries: 2}}, `[{"key": 1, "value": 5}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapSockhash, KeySize: 8, ValueSize: 8, MaxEntries: 2}}, `[{"key": 1, "value": 5}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapReuseportSockarray, KeySize: 4, ValueSize: 4, MaxEntries: 2}}, `[{"key": 1, "value": 5}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapTaskStorage, KeySize: 4, ValueSize: 8, Flags: noPrealloc, KeyTypeID: 1, ValueTypeID: 1}}, `[{"key": 42, "value": 5}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapSKStorage, KeySize: 4, ValueSize: 8, Flags: noPrealloc, KeyTypeID: 1, ValueTypeID: 1}}, `[{"key": 3, "value": 5}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapCgroupStorage, KeySize: 8, ValueSize: 4}}, `[{"key": 4711, "value": 5}]`},
		{[]*spec.MapSpec{{Name: "m", Type: spec.MapPerCPUCgroupStorage, KeySize: 8, ValueSize: 4}}, `[{"key": 4711, "value": [5, 6]}]`},
	}
	for _, tt := range tests {
		t.Run(tt.maps[0].Type.String(), func(t *testing.T) {
			m := newMaps(t, tt.maps...)
			if err := m.LoadMap("m", []byte(tt.json)); err != nil {
				t.Fatal(err)
			}
			dump, err := scenario.DumpMaps(m.Snap()[:1])
			if err != nil {
				t.Fatal(err)
			}
			squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
			if diff := cmp.Diff(`{"m":`+squeeze(tt.json)+`}`, squeeze(string(dump))); diff != "" {
				t.Errorf("dump: -loaded +dumped\n%s", diff)
			}
		})
	}
}

// Contents that a map cannot have are refused with a reason.
func TestMapJSONRefused(t *testing.T) {
	inner := array("i")
	m := newMaps(t,
		&spec.MapSpec{Name: "outer", Type: spec.MapArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 3, Inner: inner},
		array("counts"),
		&spec.MapSpec{Name: "other", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 2},
		&spec.MapSpec{Name: "queue", Type: spec.MapQueue, ValueSize: 4, MaxEntries: 1},
		&spec.MapSpec{Name: "bloom", Type: spec.MapBloomFilter, ValueSize: 4, MaxEntries: 1},
		&spec.MapSpec{Name: "stacks", Type: spec.MapStackTrace, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		&spec.MapSpec{Name: "user", Type: spec.MapUserRingBuf, MaxEntries: 4096},
		&spec.MapSpec{Name: "ring", Type: spec.MapRingBuf, MaxEntries: 4096},
		&spec.MapSpec{Name: "inodes", Type: spec.MapInodeStorage, KeySize: 4, ValueSize: 8, Flags: spec.MapNoPrealloc, KeyTypeID: 1, ValueTypeID: 1},
	)
	for _, tt := range []struct{ name, json, want string }{
		{"outer", `[{"key": 0, "value": "count"}]`, "no map count; did you mean counts?"},
		{"outer", `[{"key": 0, "value": "other"}]`, "EINVAL"},
		{"outer", `[{"key": 0, "value": 99}]`, "EBADF"},
		{"outer", `[{"key": 0, "value": true}]`, "is no name of a map"},
		{"outer", `[{"key": 7, "value": "counts"}]`, "E2BIG"},
		{"queue", `[{"key": 0, "value": 1}]`, "a queue has no keys"},
		{"queue", `[{"value": 1}, {"value": 2}]`, "element 2: E2BIG"},
		{"bloom", `[{"value": 1}]`, ""},
		{"stacks", `[{"key": 0, "value": 1}]`, "EINVAL"},
		{"user", `[{"value": "01 02"}, {"value": [1, 2, 3]}]`, ""},
		{"user", `[{"value": 1}]`, "a sample is an array of bytes"},
		{"user", `[{"value": "xyz"}]`, "a sample is an array of bytes"},
		{"user", `[{"value": [256]}]`, "[0]"},
		{"user", `[{"key": 1, "value": []}]`, "a user_ringbuf has no keys"},
		{"ring", `[]`, "contents of a map of type ringbuf"},
		{"inodes", `[{"key": 1, "value": 1}]`, "EBADF"},
	} {
		switch err := m.LoadMap(tt.name, []byte(tt.json)); {
		case tt.want == "" && err != nil:
			t.Errorf("%s %s: %v", tt.name, tt.json, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s %s: %v, want %s", tt.name, tt.json, err, tt.want)
		}
	}
}

// Contents from anywhere never make it panic, and what was stored can be dumped.
func FuzzMapJSON(f *testing.F) {
	for _, seed := range []string{
		`[{"key": 0, "value": "counts"}]`, `[{"value": 1}, {"value": "01 02"}]`, `[{"key": "0x10", "value": {"ifindex": 2, "prog": 0}}]`,
		`[{"key": [1, 2], "value": [5, 6]}]`, `[{"key": 4294967295, "value": -1}]`, `[{"value": null}]`, `{}`,
	} {
		for i := range byte(12) {
			f.Add(i, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		inner := array("i")
		all := []*spec.MapSpec{
			{Name: "m", Type: spec.MapArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 3, Inner: inner},
			{Name: "m", Type: spec.MapHashOfMaps, KeySize: 2, ValueSize: 4, MaxEntries: 3, Inner: inner},
			{Name: "m", Type: spec.MapQueue, ValueSize: 3, MaxEntries: 2},
			{Name: "m", Type: spec.MapStack, ValueSize: 8, MaxEntries: 2},
			{Name: "m", Type: spec.MapBloomFilter, ValueSize: 4, MaxEntries: 2},
			{Name: "m", Type: spec.MapUserRingBuf, MaxEntries: 4096},
			{Name: "m", Type: spec.MapDevmapHash, KeySize: 4, ValueSize: 8, MaxEntries: 2},
			{Name: "m", Type: spec.MapSockhash, KeySize: 6, ValueSize: 8, MaxEntries: 2},
			{Name: "m", Type: spec.MapLPMTrie, KeySize: 6, ValueSize: 1, MaxEntries: 2, Flags: spec.MapNoPrealloc},
			{Name: "m", Type: spec.MapPerCPUCgroupStorage, KeySize: 16, ValueSize: 3},
			{Name: "m", Type: spec.MapTaskStorage, KeySize: 4, ValueSize: 1, Flags: spec.MapNoPrealloc, KeyTypeID: 1, ValueTypeID: 1},
			{Name: "m", Type: spec.MapStackTrace, KeySize: 4, ValueSize: 16, MaxEntries: 2},
		}
		m := newMaps(t, all[int(which)%len(all)], array("counts"))
		_ = m.LoadMap("m", data)
		if _, err := scenario.DumpMaps(m.Snap()); err != nil {
			t.Error(err)
		}
	})
}
