package scenario

import (
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// WritePcapNG writes frames as pcapng, one interface for each link type, with
// nanoseconds. Other than in pcap, link types may mix.
func WritePcapNG(w io.Writer, fs []Frame) error {
	links := []int{}
	id := make(map[int]int) // interface by link type
	for _, f := range fs {
		link := max(f.Link, LinkEthernet)
		if _, ok := id[link]; !ok {
			id[link] = len(links)
			links = append(links, link)
		}
	}
	if len(links) == 0 {
		links = []int{LinkEthernet}
	}
	// What the library puts in by itself names the system that it runs on; the same
	// run gives the same bytes everywhere.
	port := func(link int) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: fmt.Sprintf("link%d", link), LinkType: layers.LinkType(link), SnapLength: MaxPacket, TimestampResolution: 9}
	}
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "bpfvm"}}
	pw, err := pcapgo.NewNgWriterInterface(w, port(links[0]), options)
	if err != nil {
		return err
	}
	for _, link := range links[1:] {
		if _, err := pw.AddInterface(port(link)); err != nil {
			return err
		}
	}
	for i, f := range fs {
		ci := gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data), Length: max(f.Size, len(f.Data)),
			InterfaceIndex: id[max(f.Link, LinkEthernet)]}
		if ci.Timestamp.IsZero() {
			ci.Timestamp = time.Unix(0, 0)
		}
		if err := pw.WritePacket(ci, f.Data); err != nil {
			return fmt.Errorf("frame %d: %w", i+1, err)
		}
	}
	return pw.Flush()
}
