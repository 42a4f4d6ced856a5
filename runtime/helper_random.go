package runtime

func init() {
	register(map[string]helperFunc{
		"bpf_get_prandom_u32":      getPrandomU32,
		"bpf_get_smp_processor_id": getSMPProcessorID,
		"bpf_get_numa_node_id":     getNUMANodeID,
	})
}

func getPrandomU32(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return uint64(e.rt.Rand.Uint32(e.cpu)), nil
}

func getSMPProcessorID(e *Env, _, _, _, _, _ uint64) (uint64, error) { return uint64(e.cpu), nil }

// getNUMANodeID is bpf_get_numa_node_id: all virtual CPUs are on node 0.
func getNUMANodeID(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }
