package runtime

import "bpfvm/spec"

// Sections in which the kernel must not sleep or be interrupted. Runs never overlap
// here, so there is nothing to do; what is open at the end the verifier refuses.
func init() {
	nothing := func(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }
	for _, name := range []string{
		"bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_preempt_disable", "bpf_preempt_enable",
	} {
		registerKfunc(name, spec.RetVoid, "", nothing)
	}
	for _, name := range []string{"bpf_local_irq_save", "bpf_local_irq_restore"} {
		registerKfunc(name, spec.RetVoid, "iter:8", nothing)
	}
	// The same address with another type: bpf_cast_to_kern_ctx is the kernel's
	// structure behind the context, which only typed loads reach.
	registerKfunc("bpf_rdonly_cast", spec.RetBTFID, "any any", func(_ *Env, obj, _, _, _, _ uint64) (uint64, error) {
		return obj, nil
	})
}
