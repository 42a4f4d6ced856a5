package verifier

import (
	"slices"

	"bpfvm/spec"
)

// mapHelpers are the helpers that may be called with a map of the type; types
// that are not here take all that do not ask for one of these
// (check_map_func_compatibility, first switch).
var mapHelpers = map[spec.MapType][]string{
	spec.MapProgArray: {"bpf_tail_call"},
	spec.MapPerfEventArray: {"bpf_perf_event_read", "bpf_perf_event_output", "bpf_skb_output",
		"bpf_perf_event_read_value", "bpf_xdp_output"},
	spec.MapRingBuf: {"bpf_ringbuf_output", "bpf_ringbuf_reserve", "bpf_ringbuf_query",
		"bpf_ringbuf_reserve_dynptr", "bpf_ringbuf_submit_dynptr", "bpf_ringbuf_discard_dynptr"},
	spec.MapUserRingBuf:         {"bpf_user_ringbuf_drain"},
	spec.MapStackTrace:          {"bpf_get_stackid"},
	spec.MapCgroupArray:         {"bpf_skb_under_cgroup", "bpf_current_task_under_cgroup"},
	spec.MapCgroupStorage:       {"bpf_get_local_storage"},
	spec.MapPerCPUCgroupStorage: {"bpf_get_local_storage"},
	spec.MapDevmap:              {"bpf_redirect_map", "bpf_map_lookup_elem"},
	spec.MapDevmapHash:          {"bpf_redirect_map", "bpf_map_lookup_elem"},
	spec.MapCPUMap:              {"bpf_redirect_map"},
	spec.MapXSKMap:              {"bpf_redirect_map", "bpf_map_lookup_elem"},
	spec.MapArrayOfMaps:         {"bpf_map_lookup_elem"},
	spec.MapHashOfMaps:          {"bpf_map_lookup_elem"},
	spec.MapSockmap: {"bpf_sk_redirect_map", "bpf_sock_map_update", "bpf_msg_redirect_map",
		"bpf_sk_select_reuseport", "bpf_map_lookup_elem"},
	spec.MapSockhash: {"bpf_sk_redirect_hash", "bpf_sock_hash_update", "bpf_msg_redirect_hash",
		"bpf_sk_select_reuseport", "bpf_map_lookup_elem"},
	spec.MapReuseportSockarray: {"bpf_sk_select_reuseport"},
	spec.MapQueue:              {"bpf_map_peek_elem", "bpf_map_pop_elem", "bpf_map_push_elem"},
	spec.MapStack:              {"bpf_map_peek_elem", "bpf_map_pop_elem", "bpf_map_push_elem"},
	spec.MapSKStorage:          {"bpf_sk_storage_get", "bpf_sk_storage_delete", "bpf_kptr_xchg"},
	spec.MapInodeStorage:       {"bpf_inode_storage_get", "bpf_inode_storage_delete", "bpf_kptr_xchg"},
	spec.MapTaskStorage:        {"bpf_task_storage_get", "bpf_task_storage_delete", "bpf_kptr_xchg"},
	spec.MapCgrpStorage:        {"bpf_cgrp_storage_get", "bpf_cgrp_storage_delete", "bpf_kptr_xchg"},
	spec.MapBloomFilter:        {"bpf_map_peek_elem", "bpf_map_push_elem"},
}

// helperMaps are the map types that a helper takes, the other way round (second
// switch).
var helperMaps = map[string][]spec.MapType{
	"bpf_tail_call":                 {spec.MapProgArray},
	"bpf_perf_event_read":           {spec.MapPerfEventArray},
	"bpf_perf_event_output":         {spec.MapPerfEventArray},
	"bpf_perf_event_read_value":     {spec.MapPerfEventArray},
	"bpf_skb_output":                {spec.MapPerfEventArray},
	"bpf_xdp_output":                {spec.MapPerfEventArray},
	"bpf_ringbuf_output":            {spec.MapRingBuf},
	"bpf_ringbuf_reserve":           {spec.MapRingBuf},
	"bpf_ringbuf_query":             {spec.MapRingBuf},
	"bpf_ringbuf_reserve_dynptr":    {spec.MapRingBuf},
	"bpf_user_ringbuf_drain":        {spec.MapUserRingBuf},
	"bpf_get_stackid":               {spec.MapStackTrace},
	"bpf_current_task_under_cgroup": {spec.MapCgroupArray},
	"bpf_skb_under_cgroup":          {spec.MapCgroupArray},
	"bpf_redirect_map":              {spec.MapDevmap, spec.MapDevmapHash, spec.MapCPUMap, spec.MapXSKMap},
	"bpf_sk_redirect_map":           {spec.MapSockmap},
	"bpf_msg_redirect_map":          {spec.MapSockmap},
	"bpf_sock_map_update":           {spec.MapSockmap},
	"bpf_sk_redirect_hash":          {spec.MapSockhash},
	"bpf_msg_redirect_hash":         {spec.MapSockhash},
	"bpf_sock_hash_update":          {spec.MapSockhash},
	"bpf_get_local_storage":         {spec.MapCgroupStorage, spec.MapPerCPUCgroupStorage},
	"bpf_sk_select_reuseport":       {spec.MapReuseportSockarray, spec.MapSockmap, spec.MapSockhash},
	"bpf_map_pop_elem":              {spec.MapQueue, spec.MapStack},
	"bpf_map_peek_elem":             {spec.MapQueue, spec.MapStack, spec.MapBloomFilter},
	"bpf_map_push_elem":             {spec.MapQueue, spec.MapStack, spec.MapBloomFilter},
	"bpf_map_lookup_percpu_elem":    {spec.MapPerCPUArray, spec.MapPerCPUHash, spec.MapLRUPerCPUHash},
	"bpf_sk_storage_get":            {spec.MapSKStorage},
	"bpf_sk_storage_delete":         {spec.MapSKStorage},
	"bpf_inode_storage_get":         {spec.MapInodeStorage},
	"bpf_inode_storage_delete":      {spec.MapInodeStorage},
	"bpf_task_storage_get":          {spec.MapTaskStorage},
	"bpf_task_storage_delete":       {spec.MapTaskStorage},
	"bpf_cgrp_storage_get":          {spec.MapCgrpStorage},
	"bpf_cgrp_storage_delete":       {spec.MapCgrpStorage},
}

// mapFits refuses helpers that do not go with the map
// (check_map_func_compatibility).
func (env *env) mapFits(m *spec.MapSpec, id spec.HelperID) error {
	if m == nil {
		return nil
	}
	name := spec.HelperByID(id).Name
	helpers, limited := mapHelpers[m.Type]
	types, wants := helperMaps[name]
	if limited && !slices.Contains(helpers, name) || wants && !slices.Contains(types, m.Type) {
		if m.Type == spec.MapSockmap || m.Type == spec.MapSockhash {
			if id == helperMapUpdate || id == helperMapDelete {
				if env.mayUpdateSockmap(id) {
					return nil
				}
				env.say("cannot update sockmap in this context\n")
			}
		}
		return env.reject(CodeMapHelper, "cannot pass map_type %d into func %s#%d\n", m.Type, name, id)
	}
	return nil
}

// mayUpdateSockmap reports whether sockets can be put into or taken out of the map
// here, where no one holds their lock (may_update_sockmap).
func (env *env) mayUpdateSockmap(id spec.HelperID) bool {
	switch env.prog.Type {
	case spec.ProgTracing:
		return env.prog.Attach == spec.AttachTraceIter
	case spec.ProgSockOps:
		return id == helperMapDelete
	case spec.ProgSocketFilter, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgXDP, spec.ProgSKReuseport,
		spec.ProgFlowDissector, spec.ProgSKLookup:
		return true
	}
	return false
}
