package difftest

import (
	"fmt"
	"strings"

	"bpfvm/interp"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// packetWords are packets for programs that are compared without any of their own.
var packetWords = []string{
	"eth/arp",
	"eth/ipv4/udp(sport=1234,dport=53)/\"query\"",
	"eth/ipv4/tcp(sport=40000,dport=80,syn)",
	"eth/ipv4(ttl=1)/icmp/zero(56)",
	"eth/ipv6/tcp(dport=443,ack)/\"0123456789abcdef\"",
	"eth/vlan(id=5)/ipv4/udp(dport=4789)/zero(200)",
	"eth/ipv4/tcp(dport=22)/zero(1300)",
	"eth/ipv4/udp/cut(34)",
}

// SamplePackets are a few packets of common protocols.
func SamplePackets() []scenario.Frame {
	var out []scenario.Frame
	for _, w := range packetWords {
		b, err := scenario.PacketWords(w)
		if err != nil {
			panic(fmt.Sprintf("difftest: %s: %v", w, err)) // the table is wrong
		}
		out = append(out, scenario.Frame{Data: b, Size: len(b), Link: scenario.LinkEthernet})
	}
	return out
}

// TakesPackets reports whether programs of a type run on packets.
func TakesPackets(t spec.ProgType) bool { return hookOf(t) != "" }

// AddInputs gives a case that says nothing about what happens something to happen:
// the sample packets, and one event for each program that waits for another kind.
func (c *Case) AddInputs() error {
	o := c.Runtime
	o.Engine = interp.Step
	l, err := c.load(o)
	if err != nil {
		return err
	}
	defer l.rt.Close()
	var text strings.Builder
	packets := false
	for _, p := range l.coll.Programs() {
		if hookOf(p.Type()) != "" {
			packets = true
			continue
		}
		text.WriteString(p.Target() + "\n")
	}
	if packets {
		c.Frames = SamplePackets()
	}
	if text.String() == "" {
		return nil
	}
	c.Script, err = scenario.Parse(c.Name, []byte(text.String()))
	return err
}
