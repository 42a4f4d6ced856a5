package scenario

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"
)

// Limits of captures. A capture is untrusted input.
const (
	MaxCapture = 512 << 20 // bytes of the file
	MaxFrames  = 4_000_000
)

// Link types of captures that programs can be given (pcap-linktype(7)).
const (
	LinkEthernet = 1
	LinkRaw      = 101 // IPv4 or IPv6 without a link header
	LinkUser     = 147 // bytes without any header, such as those of a stream
)

// Frame is one packet of a capture.
type Frame struct {
	Time time.Time
	Data []byte
	// Size is the length on the wire; Data is shorter where the capture's snap
	// length cut the packet off.
	Size int
	Link int // LinkEthernet, LinkRaw
}

// magic numbers of captures, as the first four bytes in big-endian order
// (pcap-savefile(5), and section 4.1 of the pcapng draft).
const (
	magicMicroBE = 0xa1b2c3d4
	magicMicroLE = 0xd4c3b2a1
	magicNanoBE  = 0xa1b23c4d
	magicNanoLE  = 0x4d3cb2a1
	magicNG      = 0x0a0d0d0a
	magicGzip    = 0x1f8b
)

// ReadPcap reads a capture: pcap with microseconds or nanoseconds in either byte
// order, or pcapng. Frames of a link type other than Ethernet or raw IP are
// refused, and so is a capture that ends in the middle of a frame.
func ReadPcap(data []byte) ([]Frame, error) {
	if len(data) > MaxCapture {
		return nil, fmt.Errorf("capture of %d bytes, the limit is %d", len(data), MaxCapture)
	}
	if len(data) < 4 {
		return nil, errors.New("not a capture: shorter than its magic number")
	}
	switch magic := binary.BigEndian.Uint32(data); {
	case magic == magicMicroBE, magic == magicMicroLE, magic == magicNanoBE, magic == magicNanoLE:
		return readClassic(data)
	case magic == magicNG:
		return readNG(data)
	case magic>>16 == magicGzip:
		return nil, fmt.Errorf("compressed capture, gunzip it first: %w", errors.ErrUnsupported)
	default:
		return nil, fmt.Errorf("not a capture: magic number %#08x is neither pcap nor pcapng", magic)
	}
}

func readClassic(data []byte) ([]Frame, error) {
	r, err := pcapgo.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("capture header: %w", plainEOF(err))
	}
	return frames(func() ([]byte, gopacket.CaptureInfo, int, error) {
		b, ci, err := r.ReadPacketData()
		return b, ci, int(r.LinkType()), err
	})
}

func readNG(data []byte) ([]Frame, error) {
	r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil, fmt.Errorf("capture header: %w", plainEOF(err))
	}
	return frames(func() ([]byte, gopacket.CaptureInfo, int, error) {
		b, ci, err := r.ReadPacketData()
		if err != nil {
			return nil, ci, 0, err
		}
		i, err := r.Interface(ci.InterfaceIndex)
		return b, ci, int(i.LinkType), err
	})
}

// frames reads until the end of the capture.
func frames(next func() ([]byte, gopacket.CaptureInfo, int, error)) ([]Frame, error) {
	var out []Frame
	for {
		b, ci, link, err := next()
		if err == io.EOF && len(b) == 0 && ci.CaptureLength == 0 {
			return out, nil
		}
		at := len(out) + 1
		if err != nil {
			return nil, fmt.Errorf("frame %d: %w", at, plainEOF(err))
		}
		switch {
		case link != LinkEthernet && link != LinkRaw:
			return nil, fmt.Errorf("frame %d: link type %d, programs are given Ethernet (1) or raw IP (101): %w", at, link, errors.ErrUnsupported)
		case len(b) > MaxPacket:
			return nil, fmt.Errorf("frame %d: %w", at, errPacketSize)
		case len(b) == 0:
			return nil, fmt.Errorf("frame %d: no bytes captured", at)
		case at > MaxFrames:
			return nil, fmt.Errorf("more than %d frames", MaxFrames)
		}
		out = append(out, Frame{Time: ci.Timestamp, Data: b, Size: ci.Length, Link: link})
	}
}

// plainEOF makes the end of the data an error that says so.
func plainEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// WritePcap writes frames as pcap with nanoseconds. They must be of one link type.
func WritePcap(w io.Writer, fs []Frame) error {
	link := LinkEthernet
	if len(fs) > 0 && fs[0].Link != 0 {
		link = fs[0].Link
	}
	pw := pcapgo.NewWriterNanos(w)
	header := pw.WriteFileHeader
	if link == LinkRaw {
		if err := header(MaxPacket, LinkRaw); err != nil {
			return err
		}
	} else if err := header(MaxPacket, LinkEthernet); err != nil {
		return err
	}
	for i, f := range fs {
		if f.Link != link && f.Link != 0 {
			return fmt.Errorf("frame %d: link type %d in a capture of link type %d", i+1, f.Link, link)
		}
		ci := gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data), Length: max(f.Size, len(f.Data))}
		if ci.Timestamp.IsZero() {
			ci.Timestamp = time.Unix(0, 0) // the library would take the present
		}
		if err := pw.WritePacket(ci, f.Data); err != nil {
			return fmt.Errorf("frame %d: %w", i+1, err)
		}
	}
	return nil
}
