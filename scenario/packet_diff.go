package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// PacketDiff says what happened to a packet between two moments.
type PacketDiff struct {
	Before int          `json:"before"` // size in bytes
	After  int          `json:"after"`
	Ranges []ByteRange  `json:"ranges,omitempty"` // changed bytes, when both have the same headers
	Fields []FieldDelta `json:"fields,omitempty"`
	// Removed and Added are headers that only one of the two has: "vlan".
	Removed []string `json:"removed,omitempty"`
	Added   []string `json:"added,omitempty"`
}

// ByteRange is a run of changed bytes.
type ByteRange struct {
	Off int `json:"off"`
	Len int `json:"len"`
}

// FieldDelta is a field with another value.
type FieldDelta struct {
	Name   string `json:"name"` // "eth.dst", "payload"
	Before string `json:"before"`
	After  string `json:"after"`
}

// DiffPackets compares two Ethernet frames: by bytes, and by the fields of the
// headers that both have.
func DiffPackets(before, after []byte) *PacketDiff {
	return diffDecoded(before, after, DecodePacket(before), DecodePacket(after))
}

func diffDecoded(before, after []byte, p, q *Packet) *PacketDiff {
	d := &PacketDiff{Before: len(before), After: len(after)}
	if slices.Equal(before, after) {
		return d
	}
	pairs := d.align(p, q)
	if len(d.Removed) == 0 && len(d.Added) == 0 {
		d.Ranges = changedBytes(before, after)
	}
	for _, pair := range pairs {
		d.fields(p.Headers[pair[0]], q.Headers[pair[1]])
	}
	a, b := payload(before, p), payload(after, q)
	if !slices.Equal(a, b) {
		d.Fields = append(d.Fields, FieldDelta{Name: "payload", Before: fmt.Sprintf("%d bytes", len(a)), After: fmt.Sprintf("%d bytes", len(b))})
	}
	return d
}

func payload(b []byte, p *Packet) []byte { return b[min(p.PayloadOff, len(b)):] }

// align pairs the headers that both packets have, in order: a longest common
// subsequence of the two chains of protocols.
func (d *PacketDiff) align(p, q *Packet) [][2]int {
	n, m := len(p.Headers), len(q.Headers)
	best := make([][]int, n+1)
	for i := range best {
		best[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if p.Headers[i].Proto == q.Headers[j].Proto {
				best[i][j] = best[i+1][j+1] + 1
			} else {
				best[i][j] = max(best[i+1][j], best[i][j+1])
			}
		}
	}
	var pairs [][2]int
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && p.Headers[i].Proto == q.Headers[j].Proto:
			pairs = append(pairs, [2]int{i, j})
			i, j = i+1, j+1
		case j == m || i < n && best[i+1][j] >= best[i][j+1]:
			d.Removed = append(d.Removed, p.Headers[i].Proto)
			i++
		default:
			d.Added = append(d.Added, q.Headers[j].Proto)
			j++
		}
	}
	return pairs
}

// fields compares two headers of the same protocol.
func (d *PacketDiff) fields(h, g Header) {
	for _, f := range h.Fields {
		after := "none"
		if o := g.Field(f.Name); o != nil {
			after = o.Value
		}
		if after != f.Value {
			d.Fields = append(d.Fields, FieldDelta{Name: h.Proto + "." + f.Name, Before: f.Value, After: after})
		}
	}
	for _, f := range g.Fields {
		if h.Field(f.Name) == nil {
			d.Fields = append(d.Fields, FieldDelta{Name: h.Proto + "." + f.Name, Before: "none", After: f.Value})
		}
	}
}

func changedBytes(a, b []byte) []ByteRange {
	var out []ByteRange
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && a[i] == b[i] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Off+out[n-1].Len == i {
			out[n-1].Len++
		} else {
			out = append(out, ByteRange{Off: i, Len: 1})
		}
	}
	return out
}

// Same reports whether nothing changed.
func (d *PacketDiff) Same() bool {
	return d.Before == d.After && len(d.Ranges) == 0 && len(d.Fields) == 0 && len(d.Removed) == 0 && len(d.Added) == 0
}

// String is the difference on one line: "eth.dst 02:..:02->02:..:09, ipv4.ttl
// 64->63", or "packet unchanged".
func (d *PacketDiff) String() string {
	if d.Same() {
		return "packet unchanged"
	}
	var parts []string
	if d.Before != d.After {
		parts = append(parts, fmt.Sprintf("%d->%d bytes", d.Before, d.After))
	}
	for _, h := range d.Removed {
		parts = append(parts, "-"+h)
	}
	for _, h := range d.Added {
		parts = append(parts, "+"+h)
	}
	for _, f := range d.Fields {
		if f.Name == "payload" && f.Before == f.After {
			parts = append(parts, "payload changed")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s->%s", f.Name, f.Before, f.After))
	}
	if len(parts) == 0 { // bytes that no field covers: reserved bits
		for _, r := range d.Ranges {
			parts = append(parts, fmt.Sprintf("bytes %d..%d", r.Off, r.Off+r.Len-1))
		}
	}
	return strings.Join(parts, ", ")
}
