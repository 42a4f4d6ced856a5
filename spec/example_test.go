package spec_test

import (
	"fmt"

	"bpfvm/spec"
)

// What a section name says about the program in it.
func Example() {
	rule, to, ok := spec.MatchSection("kprobe/kmem_cache_free")
	fmt.Println(rule.Type, to, ok)

	ctx := rule.Type.Ctx()
	first := ctx.Field("PARM1")
	fmt.Println(first.Name, "at byte", first.Off, "of", ctx.Name)

	h := spec.HelperByName("probe_read_kernel")
	fmt.Println(h.Signature)
	fmt.Println(spec.HelperAllowed(rule.Type, h.ID), h.GPLOnly)
	// Output:
	// kprobe kmem_cache_free true
	// di at byte 112 of pt_regs
	// long bpf_probe_read_kernel(void *dst, u32 size, const void *unsafe_ptr)
	// true true
}

func ExampleRetName() {
	fmt.Println(spec.RetName(spec.ProgXDP, 1))
	// Output: XDP_DROP
}

func ExampleKfuncByName() {
	k := spec.KfuncByName("bpf_task_acquire")
	fmt.Println(k.Signature)
	fmt.Println(k.Flags)
	fmt.Println(k.Allowed(spec.ProgTracing, spec.AttachTraceFentry), k.Allowed(spec.ProgKprobe, 0))
	// Output:
	// struct task_struct *bpf_task_acquire(struct task_struct *p)
	// acquire ret_null rcu
	// true false
}

// The same helper takes the context in one program type and a socket in another.
func ExampleHelperFor() {
	id := spec.HelperByName("setsockopt").ID
	fmt.Println(spec.HelperFor(id, spec.ProgSockOps).Args[0])
	fmt.Println(spec.HelperFor(id, spec.ProgCgroupSockopt).Args[0])
	// Output:
	// the context
	// a socket
}
