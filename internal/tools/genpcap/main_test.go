package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"
)

// Example shows the table that goes beside the firewall's capture.
func Example() {
	fmt.Printf("%s", describe(firewallFrames()[:2]))
	// Output:
	// # xdp/packets.pcap through xdp/firewall.bpf.o, as Linux 6.18 runs it.
	// # frame bytes r0 what
	// 1 42 1 ARP request, dropped
	// 2 46 2 ICMP echo, forwarded
}

func TestFilesAreFresh(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("testdata/%s is stale: run go generate ./internal/tools/genpcap", name)
		}
	}
}

func TestCaptureReadsBack(t *testing.T) {
	frames := firewallFrames()
	data, err := capture(frames)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		got, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
		if !bytes.Equal(got, f.data) || info.Length != len(f.data) {
			t.Errorf("frame %d: read % x, wrote % x", i+1, got, f.data)
		}
	}
}

// A checksum over data that holds its own checksum is zero (RFC 1071, section 1).
func TestChecksums(t *testing.T) {
	ip := ipv4(protoUDP, 64, []byte{1, 1, 1, 0}, udp(53, "odd"))
	if sum := checksum(ip[:24]); sum != 0 {
		t.Errorf("IPv4 header sums to %#04x", sum)
	}
	pseudo := append(bytes.Clone(ip[12:20]), 0, protoUDP, 0, byte(len(ip)-24))
	if sum := checksum(append(pseudo, ip[24:]...)); sum != 0 {
		t.Errorf("UDP datagram sums to %#04x", sum)
	}
}

// What packets.txt says of the firewall is what the kernel answered.
func TestVerdictsAreTheKernels(t *testing.T) {
	data, err := os.ReadFile("../../../testdata/results.txt")
	if err != nil {
		t.Fatal(err)
	}
	frames := firewallFrames()
	seen := 0
	for line := range strings.Lines(string(data)) {
		var object, program, file string
		var n, size int
		var r0, crc uint32
		if strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%s %s %s %d %v %d %x", &object, &program, &file, &n, &r0, &size, &crc); err != nil {
			t.Fatalf("results.txt: %q: %v", line, err)
		}
		if program != "firewall" {
			continue
		}
		seen++
		f := frames[n-1]
		if r0 != f.verdict || size != len(f.data) {
			t.Errorf("frame %d (%s): kernel returned %d and %d bytes, want %d and %d", n, f.what, r0, size, f.verdict, len(f.data))
		}
	}
	if seen != len(frames) {
		t.Errorf("results.txt has %d frames of the firewall, want %d", seen, len(frames))
	}
}
