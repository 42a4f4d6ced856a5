package elf

import (
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Header is the ELF file header, as far as it differs between BPF objects.
type Header struct {
	Class     string // always "ELF64"
	Data      string // always "little-endian"
	Machine   uint16 // EM_BPF (247), or EM_NONE (0) from clang before 3.8
	Type      uint16 // ET_REL (1) for what a compiler writes
	Flags     uint32
	ShOff     uint64 // file offset of the section header table
	ShNum     int    // its entries
	ShStrNdx  int    // the section that holds section names
	TotalSize int64  // bytes of the whole file
}

// File is an object file taken apart: sections, symbols and relocations as they
// stand in the file. Nothing in it is interpreted beyond ELF itself; Collection
// does that.
type File struct {
	Header   Header
	Sections []Section // by section number; entry 0 is the null section
	Symbols  []Symbol  // by symbol number; entry 0 is the null symbol

	data   []byte
	symtab int // section number of the symbol table, 0 when there is none
	relocs map[int][]Reloc
	budget *budget

	binutils bool // written by GNU as; see addend
}

const (
	ehdrSize = 64 // sizeof(Elf64_Ehdr)
	shdrSize = 64 // sizeof(Elf64_Shdr)
	symSize  = 24 // sizeof(Elf64_Sym)
	relSize  = 16 // sizeof(Elf64_Rel)
	relaSize = 24 // sizeof(Elf64_Rela)
)

// Open reads an object of the given size. Structural faults (a table outside the
// file, a name outside its string table) are reported together as an ErrorList;
// an object with such faults is not returned.
func Open(r io.ReaderAt, size int64) (*File, error) {
	if size < 0 || size > maxFileSize {
		return nil, fmt.Errorf("file of %d bytes: the largest object read has %d: %w", size, maxFileSize, ErrTooLarge)
	}
	data := make([]byte, size)
	if n, err := r.ReadAt(data, 0); int64(n) != size {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d of %d bytes: %w", n, size, err)
	}
	f := &File{data: data, relocs: make(map[int][]Reloc), budget: newBudget(size)}
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	if err := f.readSections(); err != nil {
		return nil, err
	}
	f.binutils = f.madeByBinutils()
	if err := f.readSymbols(); err != nil {
		return nil, err
	}
	if err := f.readRelocs(); err != nil {
		return nil, err
	}
	return f, nil
}

// OpenFile opens the object at path.
func OpenFile(path string) (*File, error) {
	fh, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer fh.Close()
	st, err := fh.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, fmt.Errorf("%s: is a directory", path)
	}
	f, err := Open(fh, st.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return f, nil
}

// readHeader checks the file header (gABI, chapter 4, "ELF Header").
func (f *File) readHeader() error {
	d := f.data
	if len(d) < 4 || string(d[:4]) != delf.ELFMAG {
		return fmt.Errorf("file begins with % x: %w", d[:min(4, len(d))], ErrNotELF)
	}
	if len(d) < delf.EI_NIDENT {
		return formatErr("file of %d bytes ends inside the ELF identification", len(d))
	}
	switch delf.Class(d[delf.EI_CLASS]) {
	case delf.ELFCLASS64:
	case delf.ELFCLASS32:
		return unsupported("32-bit ELF")
	default:
		return formatErr("ELF class %d", d[delf.EI_CLASS])
	}
	switch delf.Data(d[delf.EI_DATA]) {
	case delf.ELFDATA2LSB:
	case delf.ELFDATA2MSB:
		return unsupported("big-endian object (bpfeb)")
	default:
		return formatErr("ELF data encoding %d", d[delf.EI_DATA])
	}
	if v := d[delf.EI_VERSION]; v != byte(delf.EV_CURRENT) {
		return formatErr("ELF version %d", v)
	}
	if len(d) < ehdrSize {
		return formatErr("file of %d bytes ends inside the %d-byte ELF header", len(d), ehdrSize)
	}
	le := binary.LittleEndian
	f.Header = Header{
		Class:     "ELF64",
		Data:      "little-endian",
		Type:      le.Uint16(d[16:]),
		Machine:   le.Uint16(d[18:]),
		ShOff:     le.Uint64(d[40:]),
		Flags:     le.Uint32(d[48:]),
		ShNum:     int(le.Uint16(d[60:])),
		ShStrNdx:  int(le.Uint16(d[62:])),
		TotalSize: int64(len(d)),
	}
	h := &f.Header
	switch delf.Machine(h.Machine) {
	case delf.EM_BPF, delf.EM_NONE:
	default:
		name := strings.TrimPrefix(delf.Machine(h.Machine).String(), "EM_")
		return unsupported("object for machine %s (%d), not BPF", name, h.Machine)
	}
	if h.ShOff == 0 {
		return formatErr("no section header table")
	}
	if n := le.Uint16(d[58:]); n != shdrSize {
		return formatErr("section headers of %d bytes instead of %d", n, shdrSize)
	}
	return nil
}

// bytes returns the given part of the file, or false where it does not lie in it.
func (f *File) bytes(off, size uint64) ([]byte, bool) {
	if off > uint64(len(f.data)) || size > uint64(len(f.data))-off {
		return nil, false
	}
	return f.data[off : off+size : off+size], true
}
