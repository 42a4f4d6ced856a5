package scenario

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ngBlock makes a block of pcapng: type, length, body, length again.
func ngBlock(order binary.AppendByteOrder, typ uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	b := order.AppendUint32(nil, typ)
	b = order.AppendUint32(b, uint32(len(body)+12))
	b = append(b, body...)
	return order.AppendUint32(b, uint32(len(body)+12))
}

// ngHead makes a section header and interfaces with the given link types, whose
// timestamps count 10^-9 s where nano is set, else microseconds.
func ngHead(order binary.AppendByteOrder, nano bool, links ...uint16) []byte {
	section := order.AppendUint32(nil, 0x1a2b3c4d)
	section = order.AppendUint16(section, 1)
	section = order.AppendUint16(section, 0)
	section = order.AppendUint64(section, 1<<64-1)
	out := ngBlock(order, 0x0a0d0d0a, section)
	for _, link := range links {
		port := order.AppendUint16(nil, link)
		port = order.AppendUint16(port, 0)
		port = order.AppendUint32(port, 1<<16)
		if nano {
			port = order.AppendUint16(port, 9) // if_tsresol
			port = order.AppendUint16(port, 1)
			port = append(port, 9, 0, 0, 0)
			port = order.AppendUint32(port, 0)
		}
		out = append(out, ngBlock(order, 1, port)...)
	}
	return out
}

// ngPacket makes an enhanced packet block.
func ngPacket(order binary.AppendByteOrder, port uint32, ts uint64, data []byte, size uint32) []byte {
	b := order.AppendUint32(nil, port)
	b = order.AppendUint32(b, uint32(ts>>32))
	b = order.AppendUint32(b, uint32(ts))
	b = order.AppendUint32(b, uint32(len(data)))
	b = order.AppendUint32(b, size)
	return ngBlock(order, 6, append(b, data...))
}

// TestReadNG reads what other tools write: both byte orders, both resolutions,
// several interfaces, packets cut off, simple packets, blocks to skip, a second
// section.
func TestReadNG(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	frame := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8, 0, 0x45}
	tests := []struct {
		name string
		file []byte
		want []Frame
	}{
		{"little-endian, microseconds", append(ngHead(le, false, 1), ngPacket(le, 0, 3_000_007, frame, 15)...),
			[]Frame{{Time: time.Unix(3, 7000).UTC(), Data: frame, Size: 15, Link: 1}}},
		{"big-endian, nanoseconds", append(ngHead(be, true, 1), ngPacket(be, 0, 3_000_000_007, frame, 15)...),
			[]Frame{{Time: time.Unix(3, 7).UTC(), Data: frame, Size: 15, Link: 1}}},
		{"two interfaces, cut off", bytes.Join([][]byte{ngHead(le, true, 1, 101), ngPacket(le, 1, 5, frame[:4], 1500), ngPacket(le, 0, 6, frame, 15)}, nil),
			[]Frame{{Time: time.Unix(0, 5).UTC(), Data: frame[:4], Size: 1500, Link: 101}, {Time: time.Unix(0, 6).UTC(), Data: frame, Size: 15, Link: 1}}},
		{"unknown block, second section", bytes.Join([][]byte{ngHead(le, true, 1), ngBlock(le, 0xbad, []byte("skip me")), ngPacket(le, 0, 1, frame, 15),
			ngHead(be, true, 101), ngPacket(be, 0, 2, frame, 15)}, nil),
			[]Frame{{Time: time.Unix(0, 1).UTC(), Data: frame, Size: 15, Link: 1}, {Time: time.Unix(0, 2).UTC(), Data: frame, Size: 15, Link: 101}}},
		{"no packets", ngHead(le, true, 1), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadPcap(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].Time = got[i].Time.UTC()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	simple := append(ngHead(le, false, 1), ngBlock(le, 3, append(le.AppendUint32(nil, 15), frame...))...)
	if got, err := ReadPcap(simple); err != nil || len(got) != 1 || !bytes.Equal(got[0].Data, frame) {
		t.Errorf("simple packet: %v %v", got, err)
	}
	if _, err := ReadPcap(append(ngHead(le, true, 105), ngPacket(le, 0, 1, frame, 15)...)); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "link type 105") {
		t.Errorf("Wi-Fi: %v", err)
	}
	whole := append(ngHead(le, true, 1), ngPacket(le, 0, 1, frame, 15)...)
	for n := len(ngHead(le, true, 1)) + 1; n < len(whole); n++ {
		if fs, err := ReadPcap(whole[:n]); err == nil {
			t.Errorf("cut off at %d of %d: %d frames and no error", n, len(whole), len(fs))
		} else if n == len(whole)-20 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut off: %v", err)
		}
	}
}

// TestNGBombs: lengths that the file does not have cost no memory.
func TestNGBombs(t *testing.T) {
	le := binary.LittleEndian
	long := ngPacket(le, 0, 1, []byte{1, 2, 3, 4}, 4)
	le.PutUint32(long[4:], 0xfffffff0)
	le.PutUint32(long[20:], 0xf0000000)
	for name, tail := range map[string][]byte{
		"captured length":  long,
		"interface number": ngPacket(le, 1<<31, 1, []byte{1}, 1),
		"block of no size": {6, 0, 0, 0, 0, 0, 0, 0},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadPcap(append(ngHead(le, true, 1), tail...))
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 8<<20 {
			t.Errorf("%s: %v, %d bytes allocated", name, err, n)
		}
	}
}

// TestWriteNG: link types mix, and what is written reads the same.
func TestWriteNG(t *testing.T) {
	in := []Frame{
		{Time: time.Unix(1, 2).UTC(), Data: []byte{1, 2, 3}, Size: 3, Link: LinkEthernet},
		{Time: time.Unix(0, 4).UTC(), Data: []byte{0x45}, Size: 40, Link: LinkRaw},
	}
	var a, b bytes.Buffer
	if err := errors.Join(WritePcapNG(&a, in), WritePcapNG(&b, in)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) || bytes.Contains(a.Bytes(), []byte(runtime.GOARCH)) {
		t.Error("the bytes depend on when or where they are written")
	}
	out, err := ReadPcap(a.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i := range out {
		out[i].Time = out[i].Time.UTC()
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
	a.Reset()
	if err := WritePcapNG(&a, nil); err != nil {
		t.Fatal(err)
	}
	if out, err := ReadPcap(a.Bytes()); err != nil || len(out) != 0 {
		t.Errorf("empty capture: %v %v", out, err)
	}
}
