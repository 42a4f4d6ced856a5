package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"bpfvm/isa"
)

func open(obj []byte) (*File, error) { return Open(bytes.NewReader(obj), int64(len(obj))) }

// plain is a small object that is right in every way.
func plain() []byte {
	o := newObject()
	sec := o.code("xdp", isa.Program{{Op: 0xb7, Imm: 2}, exit})
	o.fn("prog", sec, 0, 2)
	o.section("license", delf.SHT_PROGBITS, delf.SHF_ALLOC, []byte("GPL\x00rest"))
	o.section("version", delf.SHT_PROGBITS, delf.SHF_ALLOC, words(0x61200))
	return o.layOut()
}

func TestOpen(t *testing.T) {
	put16 := func(off int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[off:], v); return b }
	}
	put8 := func(off int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[off] = v; return b }
	}
	// field changes 8 bytes of the header of a section.
	field := func(sec, off int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte {
			at := int(binary.LittleEndian.Uint64(b[40:])) + sec*shdrSize + off
			binary.LittleEndian.PutUint64(b[at:], v)
			return b
		}
	}
	tests := []struct {
		name   string
		change func([]byte) []byte
		is     error
		want   string
	}{
		{"empty", func([]byte) []byte { return nil }, ErrNotELF, "file begins with"},
		{"text", func([]byte) []byte { return []byte("#!/bin/sh\n") }, ErrNotELF, "23 21 2f 62"},
		{"short identification", func(b []byte) []byte { return b[:10] }, ErrFormat, "10 bytes ends inside the ELF identification"},
		{"short header", func(b []byte) []byte { return b[:40] }, ErrFormat, "inside the 64-byte ELF header"},
		{"32 bits", put8(4, 1), errors.ErrUnsupported, "32-bit ELF"},
		{"big endian", put8(5, 2), errors.ErrUnsupported, "big-endian object"},
		{"unknown class", put8(4, 9), ErrFormat, "ELF class 9"},
		{"x86", put16(18, 62), errors.ErrUnsupported, "machine X86_64 (62), not BPF"},
		{"no sections", func(b []byte) []byte { clear(b[40:48]); return b }, ErrFormat, "no section header table"},
		{"header size", put16(58, 40), ErrFormat, "section headers of 40 bytes"},
		{"table beyond the end", func(b []byte) []byte { return b[:len(b)-64] }, ErrFormat, "reach past the file's end"},
		{"too many sections", put16(60, 60000), ErrFormat, "60000 section headers in a file of"},
		{"names nowhere", put16(62, 77), ErrFormat, "section names in section 77"},
		{"section beyond the end", field(1, 24, 1<<40), ErrFormat, "section 1: 0x10 bytes at 0x10000000000"},
		{"section size overflows", field(1, 32, 1<<64-1), ErrFormat, "section 1: 0xffffffffffffffff bytes"},
		{"section name outside", field(1, 0, 0x1_0000_ffff), ErrFormat, "section 1: name at 0xffff"},
		{"symbol entry size", field(4, 56, 23), ErrFormat, `section ".symtab": 48 bytes of symbols with 23 bytes each`},
		{"machine 0 of old compilers", put16(18, 0), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(tt.change(plain()))
			if tt.is == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %q wrapping %v", err, tt.want, tt.is)
			}
		})
	}
}

func TestLicenseAndVersion(t *testing.T) {
	f, err := open(plain())
	if err != nil {
		t.Fatal(err)
	}
	if got := f.License(); got != "GPL" {
		t.Errorf("license %q: it ends at the first NUL", got)
	}
	if v, err := f.Version(); v != 0x61200 || err != nil {
		t.Errorf("version %#x, %v", v, err)
	}
	o := newObject()
	o.section("version", delf.SHT_PROGBITS, 0, []byte{1, 2})
	if f, err = open(o.layOut()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Version(); !errors.Is(err, ErrFormat) {
		t.Errorf("version of two bytes: %v", err)
	}
}

// TestSymbolFaults checks that faults of symbols and relocations name their place.
func TestSymbolFaults(t *testing.T) {
	tests := []struct {
		name string
		make func(*object)
		want string
	}{
		{"outside its section", func(o *object) {
			sec := o.code("xdp", isa.Program{exit})
			o.fn("long", sec, 0, 9)
		}, `section ".symtab"+0x18: symbol "long": symbol 1: bytes 0x0 to 0x48 of section "xdp", which has 0x8`},
		{"in no section", func(o *object) {
			o.addSymbol(outSymbol{name: "lost", bind: delf.STB_GLOBAL, sec: 40})
		}, `symbol "lost": symbol 1: in section 40`},
		{"relocation outside", func(o *object) {
			sec := o.code("xdp", isa.Program{exit})
			o.fn("p", sec, 0, 1)
			o.secs[sec].relocs = []outReloc{{64, Reloc64_64, o.byName["p"]}}
		}, `section ".relxdp"+0x0: changes offset 0x40 of section "xdp"`},
		{"relocation of no symbol", func(o *object) {
			sec := o.code("xdp", isa.Program{exit})
			o.fn("p", sec, 0, 1)
			o.secs[sec].relocs = []outReloc{{0, Reloc64_64, symRef{idx: 70}}}
		}, `section ".relxdp"+0x0: symbol 71, the object has 2`},
		{"two relocations of one place", func(o *object) {
			sec := o.code("xdp", isa.Program{exit})
			o.fn("p", sec, 0, 1)
			o.secs[sec].relocs = []outReloc{{0, Reloc64_64, o.byName["p"]}, {0, Reloc64_32, o.byName["p"]}}
		}, `section "xdp"+0x0: two relocations of one instruction`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newObject()
			tt.make(o)
			_, err := open(o.layOut())
			if err == nil || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
		})
	}
}
