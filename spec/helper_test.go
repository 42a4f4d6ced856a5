package spec_test

import (
	"testing"

	"bpfvm/spec"
)

func TestHelperForms(t *testing.T) {
	sockopt := spec.HelperByName("setsockopt").ID
	for _, tt := range []struct {
		typ  spec.ProgType
		want spec.ArgKind
	}{
		{spec.ProgSockOps, spec.ArgCtx},
		{spec.ProgCgroupSockAddr, spec.ArgCtx},
		{spec.ProgCgroupSockopt, spec.ArgSocket},
		{spec.ProgTracing, spec.ArgSocket},
	} {
		if got := spec.HelperFor(sockopt, tt.typ).Args[0]; got != tt.want {
			t.Errorf("setsockopt in %s takes %s, want %s", tt.typ, got, tt.want)
		}
	}
	if h := spec.HelperFor(spec.HelperByName("get_task_stack").ID, spec.ProgTracing); h.ArgOf[0] != "task_struct" || !h.ArgWrites[1] {
		t.Errorf("get_task_stack: of %q, writes %v", h.ArgOf, h.ArgWrites)
	}
	if spec.HelperFor(9999, spec.ProgXDP) != nil {
		t.Error("a helper of no number")
	}
	for _, tt := range []struct {
		helper string
		typ    spec.ProgType
		attach spec.AttachType
		want   bool
	}{
		{"bind", spec.ProgCgroupSockAddr, spec.AttachCgroupInet4Connect, true},
		{"bind", spec.ProgCgroupSockAddr, spec.AttachCgroupInet4Bind, false},
		{"seq_printf", spec.ProgTracing, spec.AttachTraceIter, true},
		{"seq_printf", spec.ProgTracing, spec.AttachTraceFentry, false},
		{"map_lookup_elem", spec.ProgTracing, spec.AttachTraceFentry, true},
		{"skb_store_bytes", spec.ProgXDP, spec.AttachXDP, false},
	} {
		if got := spec.HelperAllowedAt(tt.typ, tt.attach, spec.HelperByName(tt.helper).ID); got != tt.want {
			t.Errorf("%s in %s attached %s: %v, want %v", tt.helper, tt.typ, tt.attach, got, tt.want)
		}
	}
}

func TestTakesMap(t *testing.T) {
	for _, tt := range []struct {
		helper string
		m      spec.MapType
		typ    spec.ProgType
		want   bool
	}{
		{"map_lookup_elem", spec.MapHash, spec.ProgXDP, true},
		{"map_lookup_elem", spec.MapRingBuf, spec.ProgXDP, false},
		{"map_lookup_elem", spec.MapXSKMap, spec.ProgXDP, true},
		{"map_push_elem", spec.MapStack, spec.ProgXDP, true},
		{"map_push_elem", spec.MapHash, spec.ProgXDP, false},
		{"tail_call", spec.MapProgArray, spec.ProgXDP, true},
		{"tail_call", spec.MapHash, spec.ProgXDP, false},
		{"map_update_elem", spec.MapSockmap, spec.ProgXDP, true},
		{"map_update_elem", spec.MapSockmap, spec.ProgSockOps, false},
		{"map_delete_elem", spec.MapSockmap, spec.ProgSockOps, true},
		{"map_lookup_elem", 99, spec.ProgXDP, false},
	} {
		if got := spec.HelperByName(tt.helper).TakesMap(tt.m, tt.typ, 0); got != tt.want {
			t.Errorf("%s with %s in %s: %v, want %v", tt.helper, tt.m, tt.typ, got, tt.want)
		}
	}
	for _, m := range spec.MapTypes() {
		for _, name := range m.Helpers {
			if spec.HelperByName(name) == nil {
				t.Errorf("%s names a helper %q", m.Name, name)
			}
		}
	}
}

func TestMapSizes(t *testing.T) {
	for _, tt := range []struct {
		m         spec.MapType
		key, size uint32
		want      bool
	}{
		{spec.MapArray, 4, 1, true},
		{spec.MapArray, 8, 1, false},
		{spec.MapStackTrace, 4, 1016, true},
		{spec.MapStackTrace, 4, 1017, false},
		{spec.MapStackTrace, 4, 1024, false},
		{spec.MapLPMTrie, 4, 1, false},
		{spec.MapQueue, 0, 1, true},
	} {
		info := tt.m.Info()
		if got := info.KeySize.Allows(tt.key) && info.ValueSize.Allows(tt.size); got != tt.want {
			t.Errorf("%s with key %d and value %d: %v, want %v", tt.m, tt.key, tt.size, got, tt.want)
		}
	}
	ring := spec.MapRingBuf.Info().MaxEntries
	if !ring.Allows(8192) || ring.Allows(12288) || ring.Allows(2048) {
		t.Errorf("ring buffers: %+v", ring)
	}
}
