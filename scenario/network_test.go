package scenario

import (
	"slices"
	"strings"
	"testing"

	"bpfvm/runtime"
)

// networkScript has every statement about the world outside of the programs.
const networkScript = `link index=2 name=eth0 mtu=1400 mac="02:00:00:00:00:02" addr="10.0.0.2"
link index=3 mac="02:00:00:00:00:03" forwarding=0
route to="10.0.0.0/8" link=2 metric=5
route to="10.2.0.0/16" type=blackhole
route to="fd00::/8" via="fd00::1" link=2 src="fd00::2" mtu=1300 table=100
neigh ip="10.0.0.9" link=2 mac="02:00:00:00:00:09"
sock proto=tcp local="0.0.0.0:80" mark=7 cookie=99 cgroup=20
sock proto=udp local="[::]:53" v6only=1 uid=5
sock proto=tcp local="10.0.0.2:80" remote="10.0.0.9:4000" state=established
cgroup id=20 parent=10
cgroup id=10 parent=1
stack kernel = 0xffffffff81000010, 0xffffffff81000020
stack user = 0x401000
`

func TestNetworkStatements(t *testing.T) {
	s, err := Parse("net", []byte(networkScript))
	if err != nil {
		t.Fatal(err)
	}
	if got := Format(s); got != networkScript {
		t.Errorf("formatted:\n%s", got)
	}
	p, err := makePlan(s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := p.world
	if len(w.Links) != 2 || len(w.Routes) != 3 || len(w.Neighbours) != 1 || len(w.Sockets) != 3 || len(w.CgroupParents) != 2 {
		t.Errorf("%+v", w)
	}
	if !w.Links[1].NoForward || w.Links[0].MTU != 1400 || w.Links[1].MTU != 1500 || w.Routes[1].Type != runtime.RouteBlackhole {
		t.Errorf("%+v", w)
	}
}

func TestBadNetworkStatements(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"link name=eth0", "link wants index=VALUE"},
		{"link index=2 mac=\"02:00\"", `mac="02:00": six bytes such as "02:00:00:00:00:01" is wanted`},
		{"link index=2 size=3", "link has no size"},
		{"route to=\"10.0.0.0\"", `to="10.0.0.0": a network such as "10.0.0.0/8" is wanted`},
		{"route to=\"10.0.0.0/8\" type=north", "type=north: one of blackhole, local, prohibit, unicast, unreachable is wanted"},
		{"neigh ip=\"10.0.0.1\" link=2", "neigh wants mac=VALUE"},
		{"sock proto=icmp local=\"10.0.0.1:1\"", "proto=icmp: one of tcp, udp is wanted"},
		{"sock proto=tcp local=\"10.0.0.1\"", `an address with a port such as "10.0.0.1:80" is wanted`},
		{"cgroup id=-1 parent=1", "a number from 0"},
		{"stack hypervisor = 1", "stack is of the kernel or of the user, not of hypervisor"},
		{"stack kernel = \"x\"", "is not an address"},
		{"stack kernel = " + strings.Repeat("1, ", 127) + "1", "more than 127 addresses"},
	} {
		if _, err := Parse("net", []byte(tt.src)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.src, err, tt.want)
		}
	}
}

// Programs find what the script says, and their effects are in the result.
func TestNetworkRun(t *testing.T) {
	const src = `
.license "GPL"
.map stacks type=stack_trace key=4 value=1016 max_entries=16
.program filter kprobe/f
	r6 = r1
	r1 = 1
	call bpf_get_current_ancestor_cgroup_id
	r7 = r0
	r1 = 12
	call bpf_send_signal
	r1 = r6
	r2 = map[stacks]
	r3 = 0
	call bpf_get_stackid
	r0 = r7
	exit
.program cls tc
	r6 = r1
	r2 = 2
	r3 = 0
	call bpf_clone_redirect
	r1 = 3
	r2 = 0
	call bpf_redirect_peer
	exit
`
	res := run(t, assembled(t, src, networkScript+`
pid=5 comm=sh cgroup=20 kprobe:f
expect r0 == 10
expect map stacks entries == 1
tc packet="eth/ipv4/udp"
expect r0 == 7
`))
	for _, e := range res.Expect {
		if !e.OK {
			t.Error(e.String())
		}
	}
	var effects []string
	for _, r := range res.Runs {
		effects = append(effects, r.Effects...)
		if r.Redirect != nil {
			effects = append(effects, r.Redirect.String())
		}
	}
	want := []string{"signal 12 to process 5", "a copy of the packet, 42 bytes, goes to interface 2", "peer of interface 3"}
	if !slices.Equal(effects, want) {
		t.Errorf("effects %q", effects)
	}
}
