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

func ExampleExplain() {
	page, ok := spec.Explain("get_current_comm")
	fmt.Println(ok)
	fmt.Print(page)
	// Output:
	// true
	// helper bpf_get_current_comm (number 16)
	//
	// Copies the current task's name to the buffer, which is always terminated with a NUL. Names hold 16 bytes with it.
	//
	//   signature    long bpf_get_current_comm(void *buf, u32 size_of_buf)
	//   since        4.2
	//   programs     socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb cgroup_sock lwt_in lwt_out lwt_xmit sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr lwt_seg6local sk_reuseport flow_dissector cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops lsm sk_lookup syscall netfilter
	//
	// arguments
	//   register kind
	//   r1       memory, its size follows, written
	//   r2       size of the memory before it, at least 1
	//   r0       a number
}
