package runtime_test

import (
	"fmt"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// Data goes to the sockets of maps.
func TestSockmapHelpers(t *testing.T) {
	const head = ".license \"GPL\"\n.map socks type=sockmap key=4 value=4 max_entries=4\n.map hashed type=sockhash key=4 value=4 max_entries=4\n.program p %s\n"
	key := func(n int) string {
		return fmt.Sprintf("\t*(u32 *)(r10 -4) = %d\n\tr3 = r10\n\tr3 += -4\n", n)
	}
	msg := &runtime.Context{Type: spec.ProgSKMsg, Data: []byte("hello")}
	ops := &runtime.Context{Type: spec.ProgSockOps}
	tests := []struct {
		name, section, body string
		in                  runtime.Input
		r0                  uint64
		to                  string
	}{
		{"there", "sk_msg", "\tr2 = map[socks]\n\tr3 = 1\n\tr4 = 1\n\tcall bpf_msg_redirect_map", msg, 1, "socks 1"},
		{"not there", "sk_msg", "\tr2 = map[socks]\n\tr3 = 2\n\tr4 = 0\n\tcall bpf_msg_redirect_map", msg, 0, ""},
		{"flags", "sk_msg", "\tr2 = map[socks]\n\tr3 = 1\n\tr4 = 2\n\tcall bpf_msg_redirect_map", msg, 0, ""},
		{"hash", "sk_msg", "\tr2 = map[hashed]\n" + key(7) + "\tr4 = 0\n\tcall bpf_msg_redirect_hash", msg, 1, "hashed 7"},
		{"refused after all", "sk_msg", "\tr2 = map[socks]\n\tr3 = 1\n\tr4 = 0\n\tcall bpf_msg_redirect_map\n\tr0 = 0", msg, 0, ""},
		{"bytes", "sk_msg", "\tr6 = r1\n\tr2 = 3\n\tcall bpf_msg_apply_bytes\n\tr1 = r6\n\tr2 = 4\n\tcall bpf_msg_cork_bytes\n\tr0 += 1", msg, 1, ""},
		{"update", "sockops", "\tr2 = map[socks]\n" + key(3) + "\tr4 = 0\n\tcall bpf_sock_map_update", ops, 0, ""},
		{"update what is not there", "sockops", "\tr2 = map[hashed]\n" + key(3) + "\tr4 = 2\n\tcall bpf_sock_hash_update", ops, ^uint64(1), ""},
		{"callbacks", "sockops", "\tr2 = 0x85\n\tcall bpf_sock_ops_cb_flags_set", ops, 0x80, ""},
		{"cookie", "sockops", "\tcall bpf_get_socket_cookie", ops, 1, ""},
		{"option", "sockops", "\tr6 = r1\n\tr2 = 77\n\t*(u32 *)(r10 -4) = r2\n\tr2 = 1\n\tr3 = 36\n\tr4 = r10\n\tr4 += -4\n\tr5 = 4\n\tcall bpf_setsockopt\n" +
			"\t*(u32 *)(r10 -4) = 0\n\tr1 = r6\n\tr2 = 1\n\tr3 = 36\n\tr4 = r10\n\tr4 += -4\n\tr5 = 4\n\tcall bpf_getsockopt\n\tr0 = *(u32 *)(r10 -4)", ops, 77, ""},
		{"option of the system", "sockops", "\tr2 = 1\n\tr3 = 8\n\tr4 = r10\n\tr4 += -4\n\tr5 = 4\n\tcall bpf_getsockopt\n\tr0 = *(u32 *)(r10 -4)", ops, 212992, ""},
		{"no such option", "sockops", "\tr2 = 1\n\tr3 = 999\n\tr4 = r10\n\tr4 += -4\n\tr5 = 4\n\tcall bpf_getsockopt", ops, ^uint64(21), ""},
		{"congestion control", "sockops", "\tr2 = 6\n\tr3 = 13\n\tr4 = r10\n\tr4 += -8\n\tr5 = 8\n\tcall bpf_getsockopt\n\tr0 = *(u32 *)(r10 -8)", ops, 0x69627563, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, fmt.Sprintf(head, tt.section)+tt.body+"\n\texit"))
				for name, k := range map[string]uint32{"socks": 1, "hashed": 7} {
					if err := c.Map(name).Update(le32(k), le32(5), 0); err != nil {
						t.Fatal(err)
					}
				}
				in := tt.in
				if ctx, ok := in.(*runtime.Context); ok {
					fresh := *ctx
					in = &fresh
				}
				res, err := c.Program("p").Run(in)
				if err != nil || res.Trap != nil || res.R0 != tt.r0 {
					t.Fatalf("r0 %#x, want %#x; %v %v", res.R0, tt.r0, err, res.Trap)
				}
				to := ""
				if res.Redirect != nil {
					to = fmt.Sprint(res.Redirect.Map, " ", res.Redirect.Key)
				}
				if to != tt.to {
					t.Errorf("goes to %q, want %q", to, tt.to)
				}
			})
		})
	}
}

// Sockets as the kernel's own structures, in the target's layout.
func TestKernelSockets(t *testing.T) {
	const src = `
.license "GPL"
.data tuple 10, 9, 9, 9, 10, 0, 0, 2, 15, 160, 0, 80
.program p tc
	r2 = data[tuple]
	r3 = 12
	r4 = -1
	r5 = 0
	call bpf_skc_lookup_tcp
	if r0 == 0 goto none
	r6 = r0
	r1 = r0
	call bpf_skc_to_tcp_sock
	r7 = r0
	r1 = r6
	call bpf_skc_to_tcp6_sock
	r8 = r0
	r1 = r10
	r1 += -8
	r2 = 8
	r3 = r7
	call bpf_probe_read_kernel
	r1 = r6
	call bpf_sk_release
	if r8 != 0 goto none
	r0 = *(u64 *)(r10 -8)
	exit
none:
	r0 = 0
	exit
`
	runOne(t, src, &runtime.SKB{Data: eth(64)}, func(t *testing.T, res runtime.Result) {
		// struct sock_common begins with skc_daddr and skc_rcv_saddr.
		if want := uint64(0x0200000a0909090a); res.R0 != want {
			t.Errorf("r0 %#x, want %#x", res.R0, want)
		}
	})
}
