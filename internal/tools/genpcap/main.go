// Command genpcap writes the packet captures under testdata: frames for the
// firewall example, for the benchmarks and for the instruction examples.
//
// Every byte comes from the tables in frames.go, so the same files come out
// everywhere; a test fails where the files in the repository are stale. Beside
// the frames of the firewall it writes packets.txt, which says what each frame is
// and what the firewall does to it.
//
//	genpcap -out DIR
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

//go:generate go run . -out ../../../testdata

func main() {
	out := flag.String("out", ".", "write below this directory")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "genpcap:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := generate()
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the content of every file by its path below testdata.
func generate() (map[string][]byte, error) {
	files := map[string][]byte{"xdp/packets.txt": describe(firewallFrames())}
	for name, frames := range map[string][]frame{
		"xdp/packets.pcap":   firewallFrames(),
		"bench/packets.pcap": benchFrames(),
		"insn/operands.pcap": operandFrames(),
	} {
		data, err := capture(frames)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = data
	}
	return files, nil
}

// capture writes the frames as a pcap file, a millisecond apart.
func capture(frames []frame) ([]byte, error) {
	var buf bytes.Buffer
	w := pcapgo.NewWriter(&buf)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		return nil, err
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{
			Timestamp:     time.Unix(1, 0).Add(time.Duration(i) * time.Millisecond).UTC(),
			CaptureLength: len(f.data),
			Length:        len(f.data),
		}
		if err := w.WritePacket(info, f.data); err != nil {
			return nil, fmt.Errorf("frame %d: %w", i+1, err)
		}
	}
	return buf.Bytes(), nil
}

// describe writes one line for each frame: number, length, r0, what it is.
func describe(frames []frame) []byte {
	var buf bytes.Buffer
	buf.WriteString("# xdp/packets.pcap through xdp/firewall.bpf.o, as Linux 6.18 runs it.\n")
	buf.WriteString("# frame bytes r0 what\n")
	for i, f := range frames {
		fmt.Fprintf(&buf, "%d %d %d %s\n", i+1, len(f.data), f.verdict, f.what)
	}
	return buf.Bytes()
}
