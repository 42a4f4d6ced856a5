package vm

import (
	"errors"
	"strings"
	"testing"

	"bpfvm/isa"
)

func newMemory(t *testing.T, capBytes uint64) *Memory {
	t.Helper()
	m, err := NewMemory(capBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func alloc(t *testing.T, m *Memory, s Spec) *Region {
	t.Helper()
	r, err := m.Alloc(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAddressesAreDeterministic(t *testing.T) {
	var first []uint64
	for range 2 {
		m := newMemory(t, 0)
		var got []uint64
		for _, size := range []uint64{1, 8, 100, 4096, 3 << 20} {
			got = append(got, alloc(t, m, Spec{Kind: RegionScratch, Size: size, Perm: PermRW}).Base)
		}
		if first == nil {
			first = got
		}
		for i := range got {
			if got[i] != first[i] {
				t.Errorf("allocation %d: %#x, then %#x", i, first[i], got[i])
			}
			if got[i] < FirstAddr || got[i]%8 != 0 {
				t.Errorf("allocation %d at %#x", i, got[i])
			}
		}
	}
}

func TestPermissionsAreExactToTheByte(t *testing.T) {
	m := newMemory(t, 0)
	for _, size := range []uint64{1, 3, 7, 8, 9, 61} {
		r := alloc(t, m, Spec{Kind: RegionScratch, Size: size, Perm: PermRead})
		for _, width := range []int{1, 2, 4, 8} {
			for off := -9; off < int(size)+9; off++ {
				want := off >= 0 && off+width <= int(size)
				_, err := m.Load(r.Base+uint64(off), width)
				if (err == nil) != want {
					t.Errorf("region of %d bytes, load of %d at %d: %v", size, width, off, err)
				}
				if err := m.Store(r.Base+uint64(off), width, 1); err == nil {
					t.Errorf("region of %d bytes, store of %d at %d was allowed", size, width, off)
				}
			}
		}
	}
}

func TestElementPaddingIsNotAccessible(t *testing.T) {
	m := newMemory(t, 0)
	r := alloc(t, m, Spec{Kind: RegionMapValue, Name: "m", Elem: 12, Count: 3, Perm: PermRW})
	if r.Stride != 16 || r.Size != 48 {
		t.Fatalf("stride %d, size %d", r.Stride, r.Size)
	}
	if err := m.Store(r.Base+16+8, 4, 1); err != nil {
		t.Error(err)
	}
	if err := m.Store(r.Base+16+8, 8, 1); err == nil {
		t.Error("write into the padding was allowed")
	}
}

func TestSymbolizeAndFaults(t *testing.T) {
	m := newMemory(t, 0)
	machine, err := NewMachine(m)
	if err != nil {
		t.Fatal(err)
	}
	ctx := alloc(t, m, Spec{Kind: RegionCtx, Size: 24, Perm: PermRead})
	pkt := alloc(t, m, Spec{Kind: RegionPacket, Size: 256 + 64, Perm: PermNone})
	pkt.Start, pkt.End = pkt.Base+256, pkt.Base+256+60
	m.Protect(pkt.Start, 60, PermRW)
	arr := alloc(t, m, Spec{Kind: RegionMapValue, Name: "counts", Elem: 8, Count: 4, Perm: PermRW})
	handle, err := m.Handle(RegionMap, "counts", nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		addr uint64
		size int
		need Perm
		sym  string
		why  string // of the fault; "" when allowed
	}{
		{machine.FrameTop(0) - 8, 8, PermRW, "fp-8", ""},
		{machine.FrameTop(0), 8, PermRead, "fp", "8 bytes above the frame pointer of frame 0"},
		{machine.FrameTop(0) - 520, 8, PermWrite, "fp-520", "8 bytes below the 512-byte stack of frame 0"},
		{machine.FrameTop(1) - 520, 8, PermWrite, "fp(1)-520", "8 bytes below the 512-byte stack of frame 1"},
		{machine.FrameTop(2) - 16, 8, PermWrite, "fp(2)-16", ""},
		{ctx.Base + 4, 4, PermRead, "ctx+4", ""},
		{ctx.Base + 4, 4, PermWrite, "ctx+4", "memory is read-only"},
		{ctx.Base + 20, 8, PermRead, "ctx+20", "4 bytes past the end, the object has 24 bytes"},
		{pkt.Start + 12, 2, PermRead, "pkt+12", ""},
		{pkt.Start + 58, 4, PermRead, "pkt+58", "2 bytes past data_end, the packet has 60 bytes"},
		{pkt.Start - 4, 4, PermRead, "pkt-4", "4 bytes before data"},
		{arr.Base + 12, 4, PermRead, "map_value(counts)[1]+4", ""},
		{arr.Base + 32, 4, PermRead, "map_value(counts)[3]+8", "4 bytes past the end of map_value(counts)[0] (32 bytes)"},
		{handle.Base, 8, PermRead, "map(counts)", "map(counts) is opaque: it can be passed to helpers but not dereferenced"},
		{0, 8, PermRead, "0x0", "address is NULL or NULL plus an offset"},
		{0xffff888000000000, 8, PermRead, "0xffff888000000000", "not an address of the program's memory (kernel and user addresses are reached by probe_read helpers only)"},
		{^uint64(0) - 3, 8, PermRead, "0xfffffffffffffffc", "not an address of the program's memory (kernel and user addresses are reached by probe_read helpers only)"},
	}
	for _, tt := range tests {
		if got := m.Symbolize(tt.addr); got != tt.sym {
			t.Errorf("Symbolize(%#x) = %q, want %q", tt.addr, got, tt.sym)
		}
		_, err := m.Bytes(tt.addr, tt.size, tt.need)
		if ok := m.Ok(tt.addr, tt.size, tt.need); ok != (err == nil) {
			t.Errorf("%s: Ok = %v but Bytes: %v", tt.sym, ok, err)
		}
		if tt.why == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.sym, err)
			}
			continue
		}
		f, ok := errors.AsType[*Fault](err)
		if !ok || f.Why != tt.why {
			t.Errorf("%s: %v, want %q", tt.sym, err, tt.why)
		}
	}
}

func TestGrowthKeepsContents(t *testing.T) {
	m := newMemory(t, 64<<20)
	a := alloc(t, m, Spec{Kind: RegionScratch, Size: 8, Perm: PermRW})
	if err := m.Store(a.Base, 8, 0x1122334455667788); err != nil {
		t.Fatal(err)
	}
	alloc(t, m, Spec{Kind: RegionScratch, Size: 40 << 20, Perm: PermRW})
	if v, err := m.Load(a.Base, 8); err != nil || v != 0x1122334455667788 {
		t.Errorf("after growth: %#x, %v", v, err)
	}
	_, err := m.Alloc(Spec{Kind: RegionMapValue, Name: "big", Elem: 1 << 20, Count: 1000})
	if !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), "map_value(big)") {
		t.Errorf("over the cap: %v", err)
	}
	_, err = m.Alloc(Spec{Kind: RegionMapValue, Name: "huge", Elem: 1 << 40, Count: 1 << 40})
	if !errors.Is(err, ErrNoMemory) {
		t.Errorf("overflowing size: %v", err)
	}
}

// The Go-slice backing of other systems must behave the same.
func TestSliceBacking(t *testing.T) {
	m := &Memory{next: FirstAddr, cap: 8 << 20, Foreign: &Foreign{}}
	growSlices(m, FirstAddr)
	b, p := m.View()
	if len(b) != len(p) || uint64(len(b)) < FirstAddr {
		t.Fatalf("view of %d and %d bytes", len(b), len(p))
	}
	copy(m.buf[100:], "kept")
	growSlices(m, 4<<20)
	if string(m.buf[100:104]) != "kept" || len(m.buf) < 4<<20 {
		t.Errorf("%q in %d bytes", m.buf[100:104], len(m.buf))
	}
	growSlices(m, 6<<20)
	if uint64(len(m.buf)) != m.cap {
		t.Errorf("grew to %d, cap %d", len(m.buf), m.cap)
	}
}

func TestAtomics(t *testing.T) {
	m := newMemory(t, 0)
	r := alloc(t, m, Spec{Kind: RegionScratch, Size: 64, Perm: PermRW})
	tests := []struct {
		op                  isa.AtomicOp
		size                int
		mem, src, cmp, want uint64
	}{
		{isa.AtomicAdd, 8, 5, 3, 0, 8},
		{isa.AtomicAdd | isa.AtomicFetch, 4, 0x1_ffffffff, 1, 0, 0x1_00000000},
		{isa.AtomicOr, 8, 5, 3, 0, 7},
		{isa.AtomicAnd, 8, 5, 3, 0, 1},
		{isa.AtomicXor | isa.AtomicFetch, 8, 5, 3, 0, 6},
		{isa.AtomicXchg, 4, 5, 3, 0, 3},
		{isa.AtomicCmpXchg, 8, 5, 3, 5, 3},
		{isa.AtomicCmpXchg, 8, 5, 3, 4, 5},
		{isa.AtomicCmpXchg, 4, 5, 3, 0xff_00000005, 3},
	}
	for _, tt := range tests {
		for _, addr := range []uint64{r.Base + 8, r.Base + 11} { // aligned and not
			if err := m.Store(addr, 8, tt.mem); err != nil {
				t.Fatal(err)
			}
			old, err := m.Atomic(tt.op, addr, tt.size, tt.src, tt.cmp)
			if err != nil {
				t.Fatal(err)
			}
			wantOld := tt.mem
			if tt.size == 4 {
				wantOld = uint64(uint32(wantOld))
			}
			if got, _ := m.Load(addr, 8); got != tt.want || old != wantOld {
				t.Errorf("op %#x size %d at %%8=%d: memory %#x old %#x, want %#x old %#x",
					tt.op, tt.size, addr%8, got, old, tt.want, wantOld)
			}
		}
	}
	if _, err := m.Atomic(isa.AtomicAdd, r.Base+60, 8, 1, 0); err == nil {
		t.Error("atomic past the end was allowed")
	}
}
