package scenario_test

import (
	"context"
	"fmt"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/runtime"
	"bpfvm/scenario"
)

// A packet program sees two packets.
func Example() {
	spec, err := elf.Load("../testdata/xdp/good.bpf.o", elf.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	rt, err := runtime.New(runtime.Options{Engine: interp.Fast})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()
	c, err := rt.Load(spec)
	if err != nil {
		fmt.Println(err)
		return
	}
	script, err := scenario.Parse("demo.events", []byte(`
at 1ms xdp packet="eth/arp"
expect r0 == XDP_DROP
at 2ms xdp packet="eth/ipv4/udp(dport=53)/'hello'"
expect r0 == XDP_PASS ; expect packet unchanged
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := scenario.Run(context.Background(), scenario.Options{Runtime: rt, Collection: c, Script: script})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range res.Runs {
		fmt.Println(r)
	}
	for _, e := range res.Expect {
		fmt.Println(e.String())
	}
	// Output:
	// #1 42B eth/arp drop_arp r0=1 XDP_DROP 13 insns  packet unchanged
	// #2 47B eth/ipv4/udp drop_arp r0=2 XDP_PASS 14 insns  packet unchanged
	// ok   expect r0 == XDP_DROP
	// ok   expect r0 == XDP_PASS
	// ok   expect packet unchanged
}

func ExampleDiffPackets() {
	before, err := scenario.PacketWords("eth/vlan(id=5)/ipv4(ttl=64)/udp")
	if err != nil {
		fmt.Println(err)
		return
	}
	after, err := scenario.PacketWords("eth/ipv4(ttl=63)/udp")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(scenario.DiffPackets(before, after))
	// Output: 46->42 bytes, -vlan, eth.type vlan->ipv4, ipv4.ttl 64->63, ipv4.csum 0x66cf->0x67cf
}
