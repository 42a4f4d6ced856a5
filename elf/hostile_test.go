package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"bpfvm/isa"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// shipped returns the objects of the module with their own types, which stand in
// for a kernel's as CO-RE target.
func shipped(t testing.TB) map[string][]byte {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"../testdata/*/*.o", "testdata/*.o", "testdata/matrix/*.o"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, list...)
	}
	if len(paths) == 0 {
		t.Skip("no objects in ../testdata")
	}
	out := make(map[string][]byte)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(p)] = b
	}
	return out
}

func ownTypes(obj []byte) *btf.Spec {
	s, err := btf.LoadSpecFromReader(bytes.NewReader(obj))
	if err != nil {
		return nil
	}
	return s
}

// memLimit is what reading an object of up to 1 MiB may allocate in all, garbage
// included, so that what is live at any time is below it.
const memLimit = 64 << 20

// devour reads an object in every way and reports what that took.
func devour(obj []byte, target *btf.Spec) (allocated uint64, took time.Duration, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	f, err := Open(bytes.NewReader(obj), int64(len(obj)))
	if err == nil {
		_, err = f.Collection(Options{Name: "x", Target: target})
		f.DWARFTypes()
	}
	took = time.Since(begin)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc + (after.StackInuse - min(before.StackInuse, after.StackInuse)), took, err
}

// TestMutants truncates each shipped object at every 64 bytes and flips bits in
// it: nothing may panic, hang or allocate beyond the limit.
func TestMutants(t *testing.T) {
	flips := 300
	if testing.Short() {
		flips = 30
	}
	for name, obj := range shipped(t) {
		target := ownTypes(obj)
		rng := rand.New(rand.NewPCG(1, 2))
		try := func(what string, mutant []byte) {
			defer func() {
				if r := recover(); r != nil {
					t.Fatalf("%s: %s: panic: %v", name, what, r)
				}
			}()
			n, took, _ := devour(mutant, target)
			if n > memLimit || took > 5*time.Second {
				t.Errorf("%s: %s: allocated %d MiB in %v", name, what, n>>20, took)
			}
			if f, err := Open(bytes.NewReader(mutant), int64(len(mutant))); err == nil {
				f.Inspect(Options{Target: target})
			}
		}
		for n := 0; n < len(obj); n += 64 {
			try(fmt.Sprintf("first %d bytes", n), obj[:n])
		}
		for range flips {
			mutant := bytes.Clone(obj)
			var what strings.Builder
			for range 1 + rng.IntN(3) {
				at, bit := rng.IntN(len(obj)), rng.IntN(8)
				mutant[at] ^= 1 << bit
				fmt.Fprintf(&what, "bit %d of byte %#x ", bit, at)
			}
			try(what.String(), mutant)
		}
	}
}

// object builds an object out of sections for the tests below.
type object struct{ writer }

func newObject() *object {
	return &object{writer{unit: &isa.Unit{}, secs: []outSection{{}}, locals: []outSymbol{{}}, byName: map[string]symRef{}}}
}

func (o *object) section(name string, typ delf.SectionType, flags delf.SectionFlag, data []byte) int {
	return o.add(outSection{name: name, typ: typ, flags: flags, data: data, align: 1})
}

func (o *object) code(name string, p isa.Program) int {
	return o.section(name, delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_EXECINSTR, isa.Encode(p))
}

func (o *object) fn(name string, sec, pc, n int) {
	o.addSymbol(outSymbol{name, delf.STT_FUNC, delf.STB_GLOBAL, sec, uint64(pc) * 8, uint64(n) * 8})
}

var exit = isa.Instruction{Op: isa.OpExit}

// rawBTF makes a BTF section of type records and strings.
func rawBTF(types []byte, text string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, btfMagic)
	b = append(b, 1, 0)
	for _, v := range []int{24, 0, len(types), len(types), len(text)} {
		b = le.AppendUint32(b, uint32(v))
	}
	return append(append(b, types...), text...)
}

func words(v ...uint32) []byte {
	var b []byte
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// TestBombs reads objects of about 1 MiB that are made to expand.
func TestBombs(t *testing.T) {
	const mib = 1 << 20
	bombs := map[string]func() []byte{
		"programs that share a long subprogram": func() []byte {
			o := newObject()
			text := make(isa.Program, mib/2/8)
			for i := range text {
				text[i] = exit
			}
			sec := o.code(".text", text)
			o.fn("long", sec, 0, len(text))
			var progs isa.Program
			sec = len(o.secs)
			var relocs []outReloc
			for i := range 4000 {
				o.fn(fmt.Sprint("p", i), sec, len(progs), 2)
				relocs = append(relocs, outReloc{uint64(len(progs)) * 8, Reloc64_32, o.byName["long"]})
				progs = append(progs, isa.Instruction{Op: isa.OpCall, Regs: isa.MakeRegs(0, 1), Imm: -1}, exit)
			}
			o.code("xdp", progs)
			o.secs[sec].relocs = relocs
			return o.layOut()
		},
		"type name used by every member": func() []byte {
			name := strings.Repeat("n", mib/2)
			types := words(1, kindInt<<24, 4, 32)
			types = append(types, words(0, kindStruct<<24|30000, 4)...)
			for range 30000 {
				types = append(types, words(1, 1, 0)...)
			}
			o := newObject()
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, "\x00"+name+"\x00"))
			return o.layOut()
		},
		"long names on a long way": func() []byte {
			// One structure in another, each member with a long name, and as many
			// relocations along the whole way as there is room for.
			const depth, relocs = 40, 20000
			name := strings.Repeat("n", maxNameLen)
			types := words(1, kindInt<<24, 4, 32)
			for i := range depth {
				types = append(types, words(1, kindStruct<<24|1, 4, 1, uint32(max(1, i+1)), 0)...)
			}
			text := "\x00" + name + "\x00xdp\x000" + strings.Repeat(":0", depth) + "\x00"
			o := newObject()
			code := make(isa.Program, 1000)
			for i := range code {
				code[i] = exit
			}
			o.fn("p", len(o.secs), 0, len(code))
			o.code("xdp", code)
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, text))
			at := uint32(len(name) + 2)
			rec := words(16, at, relocs)
			for i := range relocs {
				rec = append(rec, words(uint32(i%1000*8), depth+1, at+4, 0)...)
			}
			ext := binary.LittleEndian.AppendUint16(nil, btfMagic)
			ext = append(ext, 1, 0)
			ext = append(ext, words(32, 0, 0, 0, 0, 0, uint32(len(rec)))...)
			o.section(".BTF.ext", delf.SHT_PROGBITS, 0, append(ext, rec...))
			return o.layOut()
		},
		"pointers to pointers": func() []byte {
			var types []byte
			for i := range mib / 12 {
				types = append(types, words(0, kindPtr<<24, uint32(i+2))...)
			}
			types = append(types, words(0, kindPtr<<24, 0)...)
			o := newObject()
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, "\x00\x00"))
			return o.layOut()
		},
		"pointers to pointers, just allowed": func() []byte {
			var types []byte
			for i := range maxTypeDepth - 1 {
				types = append(types, words(0, kindPtr<<24, uint32(i+2))...)
			}
			types = append(types, words(0, kindPtr<<24, 0)...)
			o := newObject()
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, "\x00\x00"))
			return o.layOut()
		},
		"many small types": func() []byte {
			var types []byte
			for range mib / 12 {
				types = append(types, words(0, kindStruct<<24, 0)...)
			}
			o := newObject()
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, "\x00\x00"))
			return o.layOut()
		},
		"large .bss": func() []byte {
			o := newObject()
			o.add(outSection{name: ".bss", typ: delf.SHT_NOBITS, flags: delf.SHF_ALLOC | delf.SHF_WRITE, size: 1 << 40, align: 8})
			o.add(outSection{name: ".bss.2", typ: delf.SHT_NOBITS, flags: delf.SHF_ALLOC | delf.SHF_WRITE, size: maxDataSize, align: 8})
			o.add(outSection{name: ".bss.3", typ: delf.SHT_NOBITS, flags: delf.SHF_ALLOC | delf.SHF_WRITE, size: maxDataSize, align: 8})
			for i := range 3 {
				o.addSymbol(outSymbol{name: fmt.Sprint("v", i), typ: delf.STT_OBJECT, bind: delf.STB_GLOBAL, sec: i + 1})
			}
			return o.layOut()
		},
		"sections that share bytes": func() []byte {
			o := newObject()
			o.section(".data", delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, make([]byte, mib/2))
			for i := range 4000 {
				sec := o.section(fmt.Sprint(".data.", i), delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, nil)
				o.addSymbol(outSymbol{name: fmt.Sprint("v", i), typ: delf.STT_OBJECT, bind: delf.STB_GLOBAL, sec: sec})
			}
			obj := o.layOut()
			le := binary.LittleEndian
			shoff := le.Uint64(obj[40:])
			first := obj[shoff+shdrSize:]
			for i := 2; i < 4002; i++ { // all sections have the first one's place and size
				copy(obj[int(shoff)+i*shdrSize+24:][:16], first[24:40])
			}
			return obj
		},
		"line records": func() []byte {
			o := newObject()
			text := make(isa.Program, 1000)
			for i := range text {
				text[i] = exit
			}
			for i := range 1000 {
				o.fn(fmt.Sprint("p", i), len(o.secs), i, 1)
			}
			o.code("xdp", text)
			types := words(1, kindInt<<24, 4, 32)
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, "\x00xdp\x00"))
			lines := words(16, 1, 60000)
			for i := range 60000 {
				lines = append(lines, words(uint32(i%1000*8), 1, 1, 1024)...)
			}
			ext := binary.LittleEndian.AppendUint16(nil, btfMagic)
			ext = append(ext, 1, 0)
			ext = append(ext, words(24, 0, 0, 0, uint32(len(lines)))...)
			o.section(".BTF.ext", delf.SHT_PROGBITS, 0, append(ext, lines...))
			return o.layOut()
		},
		"structures of functions that share their bytes": func() []byte {
			// Every variable of .struct_ops lies at the same place and has all its
			// relocations, none of which is at a member.
			const vars, relocs = 6000, 20000
			text := "\x00ops\x00.struct_ops\x00m\x00f\x00"
			types := words(1, kindStruct<<24|1, relocs*8, 19, 2, relocs*8*8) // 1: struct ops { func f; } at its end
			types = append(types, words(0, kindPtr<<24, 3)...)               // 2
			types = append(types, words(0, kindFuncProto<<24, 0)...)         // 3
			var secs []byte
			for i := range vars {
				types = append(types, words(uint32(len(text)), kindVar<<24, 1, 1)...) // 4..
				text += fmt.Sprintf("v%d\x00", i)
				secs = append(secs, words(uint32(4+i), 0, relocs*8)...)
			}
			types = append(types, words(5, kindDatasec<<24|vars, 0)...)
			types = append(types, secs...)
			o := newObject()
			o.fn("p", len(o.secs), 0, 1)
			o.code("struct_ops", isa.Program{exit})
			sec := o.section(".struct_ops", delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, make([]byte, relocs*8))
			for i := range relocs {
				o.secs[sec].relocs = append(o.secs[sec].relocs, outReloc{uint64(i) * 8, RelocAbs64, o.byName["p"]})
			}
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, text))
			return o.layOut()
		},
		"debugging information that repeats a long name": func() []byte {
			name := strings.Repeat("n", maxNameLen-1)
			o := newObject()
			o.section(".debug_str", delf.SHT_PROGBITS, 0, []byte(name+"\x00"))
			// 1: compile unit with children; 2: structure type with DW_AT_name, DW_FORM_strp
			o.section(".debug_abbrev", delf.SHT_PROGBITS, 0, []byte{1, 0x11, 1, 0, 0, 2, 0x13, 0, 3, 0x0e, 0, 0, 0})
			info := append([]byte{4, 0}, words(0)...) // version 4, abbreviations at 0
			info = append(info, 8, 1)                 // addresses of 8 bytes, the unit
			for range 200000 {
				info = append(info, 2, 0, 0, 0, 0)
			}
			info = append(info, 0)
			o.section(".debug_info", delf.SHT_PROGBITS, 0, append(words(uint32(len(info))), info...))
			return o.layOut()
		},
		"debugging information of many small types": func() []byte {
			o := newObject()
			o.section(".debug_abbrev", delf.SHT_PROGBITS, 0, []byte{1, 0x11, 1, 0, 0, 2, 0x0f, 0, 0, 0, 0})
			info := append([]byte{4, 0}, words(0)...)
			info = append(info, 8, 1)
			info = append(info, bytes.Repeat([]byte{2}, mib)...) // pointers to void
			o.section(".debug_info", delf.SHT_PROGBITS, 0, append(words(uint32(len(info))), info...))
			return o.layOut()
		},
		"an arena of many bytes": func() []byte {
			o := newObject()
			o.add(outSection{name: arenaSection, typ: delf.SHT_NOBITS, flags: delf.SHF_ALLOC | delf.SHF_WRITE, size: 1 << 31, align: 8})
			text := "\x00.maps\x00m\x00type\x00max_entries\x00"
			types := words(0, kindInt<<24, 4, 32)                                         // 1: int
			types = append(types, words(0, kindArray<<24, 0, 1, 1, 33)...)                // 2: int[33]
			types = append(types, words(0, kindArray<<24, 0, 1, 1, 1<<20)...)             // 3: int[1<<20]
			types = append(types, words(0, kindPtr<<24, 2)...)                            // 4
			types = append(types, words(0, kindPtr<<24, 3)...)                            // 5
			types = append(types, words(0, kindStruct<<24|2, 16, 9, 4, 0, 14, 5, 8*8)...) // 6
			types = append(types, words(7, kindVar<<24, 6, 1)...)                         // 7
			types = append(types, words(1, kindDatasec<<24|1, 16, 7, 0, 16)...)           // 8
			sec := o.section(".maps", delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, make([]byte, 16))
			o.addSymbol(outSymbol{name: "m", typ: delf.STT_OBJECT, bind: delf.STB_GLOBAL, sec: sec, size: 16})
			o.addSymbol(outSymbol{name: "v", typ: delf.STT_OBJECT, bind: delf.STB_GLOBAL, sec: 1})
			o.section(".BTF", delf.SHT_PROGBITS, 0, rawBTF(types, text))
			return o.layOut()
		},
		"functions that call each other in a chain": func() []byte {
			o := newObject()
			var text isa.Program
			for i := range 10000 {
				o.fn(fmt.Sprint("f", i), 1, len(text), 2)
				text = append(text, isa.Instruction{Op: isa.OpCall, Regs: isa.MakeRegs(0, 1), Imm: 1}, exit)
			}
			o.fn("last", 1, len(text), 1)
			text = append(text, exit)
			o.code("xdp", text)
			return o.layOut()
		},
	}
	target := typesOf(t, u32Type)
	for name, make := range bombs {
		t.Run(name, func(t *testing.T) {
			obj := make()
			n, took, err := devour(obj, target)
			t.Logf("%d bytes: %.1f MiB allocated in %v; %.120v", len(obj), float64(n)/mib, took, err)
			if n > memLimit {
				t.Errorf("%d MiB allocated for an object of %d KiB", n>>20, len(obj)>>10)
			}
			if took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// FuzzElf feeds mutated objects to everything that reads them.
func FuzzElf(f *testing.F) {
	objs := shipped(f)
	for _, obj := range objs {
		f.Add(obj)
	}
	target := ownTypes(objs["task.bpf.o"])
	f.Fuzz(func(t *testing.T, obj []byte) {
		if len(obj) > 1<<20 {
			t.Skip("objects of up to 1 MiB")
		}
		n, took, err := devour(obj, target)
		if n > memLimit || took > 10*time.Second {
			t.Fatalf("%d MiB allocated in %v", n>>20, took)
		}
		file, err2 := Open(bytes.NewReader(obj), int64(len(obj)))
		if err2 != nil {
			return
		}
		file.Inspect(Options{Target: target})
		if list, err := file.DWARFTypes(); err == nil {
			if err := types.Dump(io.Discard, list); err != nil && !errors.Is(err, types.ErrTooLarge) {
				t.Errorf("dump: %v", err)
			}
		}
		if err == nil {
			return
		}
		for _, e := range errorList(err) {
			if e.Error() == "" {
				t.Errorf("error without text: %#v", e)
			}
		}
	})
}

func errorList(err error) ErrorList {
	list, _ := errors.AsType[ErrorList](err)
	return list
}
