package scenario

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func words(t testing.TB, text string) []byte {
	t.Helper()
	b, err := PacketWords(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

func capture(t testing.TB, name string) []Frame {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	fs, err := ReadPcap(data)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestBits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		b := make([]byte, 12)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		off, n := rnd.IntN(32), 1+rnd.IntN(64)
		v := rnd.Uint64() >> (64 - n)
		before := bytes.Clone(b)
		setBits(b, off, n, v)
		if got := getBits(b, off, n); got != v {
			t.Fatalf("bits %d+%d: put %#x, got %#x", off, n, v, got)
		}
		setBits(b, off, n, getBits(before, off, n))
		if !bytes.Equal(b, before) {
			t.Fatalf("bits %d+%d: neighbours changed", off, n)
		}
	}
}

// The packets that we build must be what an independent decoder makes of the same
// words: gopacket computes lengths and checksums on its own.
func TestWordsAgainstGopacket(t *testing.T) {
	mac := func(n byte) []byte { return []byte{2, 0, 0, 0, 0, n} }
	eth := func(typ layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: mac(1), DstMAC: mac(2), EthernetType: typ}
	}
	ip4 := func(proto layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: proto, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 2}}
	}
	ip6 := func(next layers.IPProtocol) *layers.IPv6 {
		src := append([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 12)...)
		dst := bytes.Clone(src)
		src[15], dst[15] = 1, 2
		return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: src, DstIP: dst}
	}
	udp := func(l gopacket.NetworkLayer) *layers.UDP {
		u := &layers.UDP{SrcPort: 12345, DstPort: 53}
		_ = u.SetNetworkLayerForChecksum(l)
		return u
	}
	tcp := func(l gopacket.NetworkLayer) *layers.TCP {
		u := &layers.TCP{SrcPort: 1, DstPort: 443, Seq: 7, ACK: true, SYN: true, Ack: 9, Window: 65535}
		_ = u.SetNetworkLayerForChecksum(l)
		return u
	}
	v4u, v4t, v6u, v6t, v6i := ip4(17), ip4(6), ip6(17), ip6(6), ip6(58)
	icmp6 := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}
	_ = icmp6.SetNetworkLayerForChecksum(v6i)
	for _, c := range []struct {
		words  string
		layers []gopacket.SerializableLayer
	}{
		{`eth/ipv4/udp/"hello"`, []gopacket.SerializableLayer{eth(0x800), v4u, udp(v4u), gopacket.Payload("hello")}},
		{`eth/vlan(id=5,pcp=3)/ipv4/tcp(sport=1,dport=443,seq=7,ack=9,syn,ack)/'odd'`, []gopacket.SerializableLayer{eth(0x8100),
			&layers.Dot1Q{VLANIdentifier: 5, Priority: 3, Type: 0x800}, v4t, tcp(v4t), gopacket.Payload("odd")}},
		{`eth / ipv6 / udp / "x"`, []gopacket.SerializableLayer{eth(0x86dd), v6u, udp(v6u), gopacket.Payload("x")}},
		{`eth/ipv6/tcp(sport=1,dport=443,seq=7,ack=9,flags=syn|ack)`, []gopacket.SerializableLayer{eth(0x86dd), v6t, tcp(v6t)}},
		{`eth/ipv6/icmpv6/"ab"`, []gopacket.SerializableLayer{eth(0x86dd), v6i, icmp6, &layers.ICMPv6Echo{}, gopacket.Payload("ab")}},
		{`eth/ipv4/icmp(id=3,seq=4)/zero(3)`, []gopacket.SerializableLayer{eth(0x800), ip4(1),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 3, Seq: 4}, gopacket.Payload{0, 0, 0}}},
		{`eth/arp(op=2)`, []gopacket.SerializableLayer{eth(0x806), &layers.ARP{AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: 2, SourceHwAddress: mac(1), SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 2}}}},
	} {
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, c.layers...); err != nil {
			t.Fatal(err)
		}
		got, want := words(t, c.words), buf.Bytes()
		if pad := make([]byte, max(0, 60-len(got))); !bytes.Equal(append(got, pad...), want) { // gopacket pads to the least frame
			t.Errorf("%s\n got %x\nwant %x", c.words, got, want)
		}
	}
}

func TestWordsOverride(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{`eth(type=0x88cc)/zero(2)`, "16B eth"},
		{`eth/ipv4(csum=0xdead,len=20)/udp`, "42B eth/ipv4 (udp: cut off, nothing of it is there)"},
		{`eth/ipv4(ihl=4)/udp`, "42B eth/ipv4/udp (ipv4.ihl is 4, less than the 5 words of the header)"},
		{`eth/ipv4(opt=01 01 01)/tcp(opt=0204 05b4 01 03 03 07 0101)/"x"`, "71B eth/ipv4/tcp"},
		{`eth/ipv4/tcp/cut(44)`, "44B eth/ipv4 (tcp: cut off, 10 of 20 bytes)"},
		{`eth/ipv4(frag=5,mf)/"tail"`, "38B eth/ipv4 (ipv4: a later fragment, its bytes belong to the middle of a packet)"},
		{`eth/ipv6/hopopts/routing/frag(mf)/dstopts/udp`, "94B eth/ipv6/hopopts/routing/frag/dstopts/udp"},
		{`eth/qinq(id=7)/vlan(id=8)/arp`, "50B eth/qinq/vlan/arp"},
		{`hex(0102)/"x"`, "3B (eth: cut off, 3 of 14 bytes)"},
		{`eth/ipv4(len=2000)/udp`, "42B eth/ipv4/udp (ipv4.len says 2000 bytes, 28 are there)"},
		{`eth/ipv4/tcp(off=15)`, "54B eth/ipv4/tcp (tcp: cut off, 20 of 60 bytes)"},
		{`eth/ipv4/tcp(opt=02ff)`, "58B eth/ipv4/tcp (tcp: option 2 has no valid length)"},
		{`eth/ipv4/udp/zero(4)`, "46B eth/ipv4/udp"},
	} {
		if got := DecodePacket(words(t, c.words)).Summary(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.words, got, c.want)
		}
	}
	if got := DecodePacketAs("ip", words(t, "ipv6/udp")).Summary(); got != "48B ipv6/udp" {
		t.Error(got)
	}
}

func TestWordsErrors(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{"", `packet, byte 1: unknown part ""`},
		{"eth/ipv5", `packet, byte 5: unknown part "ipv5"; did you mean ipv4?`},
		{"eth(srcc=1)", `eth has no field "srcc"; did you mean src?`},
		{"eth(src=1)", `eth.src: "1" is not a MAC address`},
		{"eth(src", `")" is missing`},
		{"eth(src)", "eth.src wants a value"},
		{"ipv4(src=::1)", `ipv4.src: "::1" is not an IPv4 address`},
		{"ipv6(src=1.2.3.4)", `ipv6.src: "1.2.3.4" is not an IPv6 address`},
		{"ipv4(ttl=256)", "ipv4.ttl: 256 does not fit into 8 bits"},
		{"ipv4(opt=" + strings.Repeat("01", 41) + ")", "more than 40 bytes of options"},
		{"tcp(sync)", `tcp has no field "sync"; did you mean syn?`},
		{"eth ipv4", "unknown part \"eth ipv4\""},
		{`"x`, "the text has no end"},
		{`"x" eth`, `"/" is wanted`},
		{`zero(999999999)`, "zero wants a number of bytes"},
		{`zero(0)`, "an empty packet"},
		{`eth/cut(20)`, "cut(20): the packet has 14 bytes"},
		{`eth/cut(2)/eth`, "nothing can follow cut(N)"},
		{`eth/ipv4/udp/zero(70000)`, "udp.len: 70008 bytes do not fit into 16 bits; say len=N"},
		{strings.Repeat("eth/", 65) + "eth", "more than 64 parts"},
	} {
		b, err := PacketWords(c.words)
		if err == nil || !strings.Contains(err.Error(), c.want) || b != nil {
			t.Errorf("%s\n got %v\nwant %s", c.words, err, c.want)
		}
	}
}

func TestPacketHex(t *testing.T) {
	want := make([]byte, 40)
	for i := range want {
		want[i] = byte(i + 0x11)
	}
	dump := func(format, gap string, group int, tail string) string {
		var b strings.Builder
		for off := 0; off < len(want); off += 16 {
			fmt.Fprintf(&b, format, off)
			row := want[off:min(off+16, len(want))]
			for i := range row {
				if i > 0 && i%group == 0 {
					b.WriteByte(' ')
				}
				if gap != "" && i == 8 {
					b.WriteString(gap)
				}
				fmt.Fprintf(&b, "%02x", row[i])
			}
			b.WriteString(tail + "\n")
		}
		return b.String()
	}
	plain := fmt.Sprintf("%x", want)
	for name, text := range map[string]string{
		"plain":      plain,
		"spaces":     fmt.Sprintf("% x", want),
		"colons":     strings.ReplaceAll(fmt.Sprintf("% x", want), " ", ":"),
		"0x":         "0x" + strings.ReplaceAll(fmt.Sprintf("% x", want), " ", ", 0x"),
		"lines":      "# comment\n" + plain[:20] + "\n\n  " + plain[20:] + "\r\n",
		"tcpdump":    dump("\t0x%04x:  ", "", 2, ""),
		"tcpdump -X": dump("\t0x%04x:  ", "", 2, "  E..4 ab cd"),
		"xxd":        dump("%08x: ", "", 2, "  E..4 ab cd"),
		"hexdump -C": dump("%08x  ", " ", 1, "  |ab cd|") + "00000028\n",
		"wireshark":  dump("%04x   ", "", 1, "   E..4."),
	} {
		got, err := PacketHex(text)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%s\n got %x\nwant %x", name, err, text, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                            "no bytes",
		"0":                           "line 1: odd length",
		"zz":                          "invalid byte",
		"0x0000:  0102\n0x0010: 0304": "line 2: offset 0x10, but 0x2 bytes stand before it",
		"00000000  01 02\n*":          "repeated lines left out",
	} {
		if _, err := PacketHex(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDecodeGolden(t *testing.T) {
	var b strings.Builder
	for _, name := range []string{"xdp/packets.pcap", "bench/packets.pcap"} {
		for i, f := range capture(t, name) {
			fmt.Fprintf(&b, "%s #%d %s", name, i+1, DecodePacket(f.Data))
		}
	}
	golden(t, "decode.golden", b.String())
}

// A field's place must hold its value: overwriting the bits changes that field.
func TestDecodeOffsets(t *testing.T) {
	for _, f := range capture(t, "xdp/packets.pcap") {
		p := DecodePacket(f.Data)
		for _, h := range p.Headers {
			for _, fld := range h.Fields {
				if fld.Bits > 64 || fld.Off+fld.Bytes() > len(f.Data) {
					continue
				}
				changed := bytes.Clone(f.Data)
				setBits(changed[fld.Off:], fld.Bit, fld.Bits, ^getBits(changed[fld.Off:], fld.Bit, fld.Bits))
				d := DiffPackets(f.Data, changed)
				if !strings.Contains(d.String(), h.Proto+"."+fld.Name+" "+fld.Value) {
					t.Errorf("%s.%s: %s", h.Proto, fld.Name, d)
				}
			}
		}
	}
}

func TestDiffPackets(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{"eth/ipv4/udp", "eth/ipv4/udp", "packet unchanged"},
		{"eth/ipv4/udp", "eth(dst=00:00:00:00:00:09)/ipv4(ttl=63,csum=1)/udp",
			"eth.dst 02:00:00:00:00:02->00:00:00:00:00:09, ipv4.ttl 64->63, ipv4.csum 0x66cf->0x1"},
		{"eth/vlan(id=5)/arp", "eth/arp", "46->42 bytes, -vlan, eth.type vlan->arp"},
		{"eth/arp", "eth/qinq/vlan/arp", "42->50 bytes, +qinq, +vlan, eth.type arp->qinq"},
		{`eth/"ab"`, `eth/"cb"`, "payload changed"},
		{`eth/"ab"`, `eth/"abc"`, "16->17 bytes, payload 2 bytes->3 bytes"},
		{"eth/ipv4/tcp(opt=020405b4)", "eth/ipv4/tcp(opt=020405b5)", "tcp.csum 0x539d->0x539c, tcp.opt 020405b4->020405b5, tcp.opt.mss 1460->1461"},
	} {
		d := DiffPackets(words(t, c.before), words(t, c.after))
		if d.String() != c.want {
			t.Errorf("%s | %s\n got %s\nwant %s", c.before, c.after, d, c.want)
		}
	}
	a, b := words(t, "eth/ipv4/tcp"), words(t, "eth/ipv4/tcp")
	b[46] ^= 1 // a reserved bit of the TCP header
	b[0], b[1] = 9, 9
	want := []ByteRange{{0, 2}, {46, 1}}
	if diff := cmp.Diff(want, DiffPackets(a, b).Ranges); diff != "" {
		t.Error(diff)
	}
	b[0], b[1] = a[0], a[1]
	if d := DiffPackets(a, b).String(); d != "bytes 46..46" {
		t.Error(d)
	}
}

// The capture of the firewall has the sizes and bytes that the kernel saw: the
// oracle file holds their checksums where a program left them alone.
func TestReadPcap(t *testing.T) {
	fs := capture(t, "xdp/packets.pcap")
	if len(fs) < 14 || fs[0].Link != LinkEthernet {
		t.Fatalf("%d frames", len(fs))
	}
	if got := crc32.ChecksumIEEE(fs[0].Data); got != 0x8b6282ca {
		t.Errorf("frame 1: crc32 %08x", got)
	}
}

// classic makes a pcap of one frame by hand.
func classic(order binary.AppendByteOrder, magic, frac uint32, caplen, size uint32, data []byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	for _, v := range []uint32{0, 0, 65535, LinkEthernet, 5, frac, caplen, size} {
		b = order.AppendUint32(b, v)
	}
	return append(b, data...)
}

func TestPcapForms(t *testing.T) {
	data := words(t, "eth/arp")
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, c := range []struct{ magic, frac uint32 }{{magicMicroBE, 6}, {magicNanoBE, 6000}} {
			fs, err := ReadPcap(classic(order, c.magic, c.frac, uint32(len(data)), 100, data))
			if err != nil {
				t.Fatal(err)
			}
			want := []Frame{{Time: time.Unix(5, 6000).UTC(), Data: data, Size: 100, Link: LinkEthernet}}
			if diff := cmp.Diff(want, fs); diff != "" {
				t.Error(diff)
			}
		}
	}
	var ng bytes.Buffer
	w, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(9, 1).UTC()
	if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: len(data)}, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	fs, err := ReadPcap(ng.Bytes())
	if err != nil || len(fs) != 1 || !bytes.Equal(fs[0].Data, data) || !fs[0].Time.Equal(at) {
		t.Errorf("pcapng: %v %v", fs, err)
	}
}

func TestWritePcap(t *testing.T) {
	in := capture(t, "xdp/packets.pcap")
	var b bytes.Buffer
	if err := WritePcap(&b, in); err != nil {
		t.Fatal(err)
	}
	out, err := ReadPcap(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
	if err := WritePcap(&b, []Frame{{Data: []byte{1}, Link: LinkEthernet}, {Data: []byte{1}, Link: LinkRaw}}); err == nil {
		t.Error("mixed link types were written")
	}
}

func TestPcapErrors(t *testing.T) {
	data := words(t, "eth/arp")
	le := binary.LittleEndian
	good := classic(le, magicMicroBE, 0, 42, 42, data)
	raw := bytes.Clone(good)
	raw[20] = 105 // IEEE 802.11
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":       {nil, "shorter than its magic"},
		"text":        {[]byte("hello world"), "not a capture: magic number 0x68656c6c"},
		"gzip":        {[]byte{0x1f, 0x8b, 8, 0}, "gunzip it first"},
		"header":      {good[:20], "capture header: cut off"},
		"half header": {good[:30], "frame 1: cut off"},
		"half frame":  {good[:60], "frame 1: cut off"},
		"link":        {raw, "link type 105"},
		"giant":       {classic(le, magicMicroBE, 0, 1<<31, 1<<31, data), "exceeds snap length"},
		"snap > size": {classic(le, magicMicroBE, 0, 42, 10, data), "exceeds original packet length"},
		"no bytes":    {classic(le, magicMicroBE, 0, 0, 10, nil), "no bytes captured"},
	} {
		fs, err := ReadPcap(c.data)
		if err == nil || fs != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadPcap(raw); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v is not ErrUnsupported", err)
	}
}

func FuzzPcap(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("..", "testdata", "xdp", "packets.pcap"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:200])
	f.Add(classic(binary.BigEndian, magicNanoBE, 1, 2, 3, []byte{1, 2}))
	var ng bytes.Buffer
	w, _ := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	_ = w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(9, 1), CaptureLength: 2, Length: 2}, []byte{1, 2})
	_ = w.Flush()
	f.Add(ng.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		fs, err := ReadPcap(data)
		if err != nil && fs != nil {
			t.Fatal("frames and an error")
		}
		for _, fr := range fs {
			_ = DecodePacket(fr.Data).String()
		}
	})
}

func FuzzPacketWords(f *testing.F) {
	for _, s := range []string{
		`eth(src=02:00:00:00:00:01)/vlan(id=5)/ipv4(ttl=64)/tcp(sport=1,syn)/"payload"`,
		"eth/ipv6/hopopts/frag/udp/hex(0102)/cut(40)", "eth/ipv4(opt=0101)/icmp/zero(5)", "0x0000:  0102",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := PacketHex(text); err == nil {
			_ = DecodePacketAs("ip", b).String()
		}
		b, err := PacketWords(text)
		if (err != nil) == (b != nil) {
			t.Fatalf("%d bytes and error %v", len(b), err)
		}
		if err != nil {
			return
		}
		p := DecodePacket(b)
		for _, h := range p.Headers {
			for _, fl := range h.Fields {
				if fl.Off < h.Off || fl.Off+fl.Bytes() > min(len(b), h.Off+h.Len) {
					t.Fatalf("%s.%s lies at %d, outside of its header", h.Proto, fl.Name, fl.Off)
				}
			}
		}
		if d := DiffPackets(b, b); !d.Same() {
			t.Fatal(d)
		}
		other := bytes.Clone(b)
		other[len(other)/2] ^= 0x10
		if d := DiffPackets(b, other); d.Same() {
			t.Fatal("a difference was not found")
		}
	})
}
