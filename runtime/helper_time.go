package runtime

func init() {
	register(map[string]helperFunc{
		"bpf_ktime_get_ns":        ktimeGetNs,
		"bpf_ktime_get_boot_ns":   ktimeGetBootNs,
		"bpf_ktime_get_coarse_ns": ktimeGetCoarseNs,
		"bpf_ktime_get_tai_ns":    ktimeGetTAINs,
		"bpf_jiffies64":           jiffies64,
	})
}

func ktimeGetNs(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.rt.Clock.Read(), nil }

func ktimeGetBootNs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return e.rt.Clock.Read() + e.rt.Clock.Boot, nil
}

func ktimeGetCoarseNs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return e.rt.Clock.Coarse(), nil
}

func ktimeGetTAINs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return e.rt.Clock.Read() + e.rt.Clock.TAI, nil
}

func jiffies64(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.rt.Clock.Jiffies(), nil }
