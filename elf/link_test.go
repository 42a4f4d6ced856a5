package elf

import (
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
)

// link assembles, writes and links a source.
func link(t *testing.T, src string) (*spec.CollectionSpec, error) {
	t.Helper()
	u, err := isa.Assemble("t.s", []byte(src), isa.Options{AllowUndefined: true})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := Write(u)
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(obj)
	if err != nil {
		t.Fatal(err)
	}
	return f.Collection(Options{Name: "t"})
}

// TestSubprogramOrder: a subprogram comes when a call to it is first met, and
// what it calls comes before the rest of its caller's calls.
func TestSubprogramOrder(t *testing.T) {
	c, err := link(t, `
		.program one xdp
			call a
			call b
			exit
		.program two xdp
			call b
			exit
		.section ".text"
		.func a
			call c
			call b
			exit
		.func b
			call b_leaf
			exit
		.func c static
			exit
		.func b_leaf static
			exit
		.func unused
			exit
	`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"one": {"one", "a", "c", "b", "b_leaf"},
		"two": {"two", "b", "b_leaf"},
	}
	for _, p := range c.Programs {
		var got []string
		for _, fn := range p.Funcs {
			got = append(got, fn.Name)
		}
		if diff := cmp.Diff(want[p.Name], got); diff != "" {
			t.Errorf("program %s (-want +got):\n%s", p.Name, diff)
		}
		for pc, in := range p.Insns {
			if !in.IsPseudoCall() {
				continue
			}
			to := isa.PC(pc) + 1 + isa.PC(in.Imm)
			if fn := p.FuncAt(to); fn == nil || fn.PC != to {
				t.Errorf("program %s slot %d calls slot %d, where no function begins", p.Name, pc, to)
			}
		}
	}
	if len(c.Programs) != 2 {
		t.Errorf("%d programs", len(c.Programs))
	}
}

// TestRecursion links a function that calls itself through another: it is the
// verifier's to refuse, and must not loop here.
func TestRecursion(t *testing.T) {
	c, err := link(t, `
		.program p xdp
			call a
			exit
		.section ".text"
		.func a
			call b
			exit
		.func b
			call a
			exit
	`)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Programs[0].Funcs); n != 3 {
		t.Errorf("%d functions", n)
	}
}

// TestOneFunction: the only function of an object is a program even in .text.
func TestOneFunction(t *testing.T) {
	c, err := link(t, "r0 = 0\nexit\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Programs) != 1 || c.Programs[0].Type != spec.ProgUnspec || c.Programs[0].Section != ".text" {
		t.Errorf("programs: %+v", c.Programs)
	}
}

// TestWholeSection: a section of code without symbols is one program, as for the
// loaders of Linux 4.x.
func TestWholeSection(t *testing.T) {
	o := newObject()
	o.code("kprobe/do_unlinkat", isa.Program{{Op: 0xb7}, exit})
	f, err := open(o.layOut())
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Collection(Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Program("kprobe_do_unlinkat")
	if p == nil || p.Type != spec.ProgKprobe || p.AttachTo != "do_unlinkat" || len(p.Insns) != 2 {
		t.Errorf("programs: %+v", c.Programs)
	}
}

// TestFunctionSizes: assemblers give no sizes, and a function may have two names.
func TestFunctionSizes(t *testing.T) {
	o := newObject()
	sec := o.code("xdp", isa.Program{{Op: 0xb7}, exit, {Op: 0xb7}, {Op: 0xb7}, exit})
	for name, pc := range map[string]int{"first": 0, "alias": 0, "second": 2} {
		o.fn(name, sec, pc, 0)
	}
	f, err := open(o.layOut())
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Collection(Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, p := range c.Programs {
		got[p.Name] = len(p.Insns)
	}
	if diff := cmp.Diff(map[string]int{"first": 2, "alias": 2, "second": 3}, got); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
}

// TestRefusals: each fault is reported with section, offset and symbol, and the
// good program beside it survives.
func TestRefusals(t *testing.T) {
	lddw := isa.Program{{Op: isa.OpLdImm64, Regs: 1}, {}, exit}
	callP := isa.Program{{Op: isa.OpCall, Regs: isa.MakeRegs(0, 1), Imm: -1}, exit}
	tests := []struct {
		name string
		code isa.Program
		make func(o *object, sec int)
		want string
	}{
		{"undefined", callP, func(o *object, sec int) {
			o.secs[sec].relocs = []outReloc{{0, Reloc64_32, o.undefined("gone")}}
		}, `xdp+0x0: program "bad": symbol "gone": undefined symbol`},
		{"into a function", isa.Program{{Op: isa.OpCall, Regs: isa.MakeRegs(0, 1), Imm: 0}, exit}, nil,
			`xdp+0x0: program "bad": call: 0x8 of section "xdp" is inside function "bad", not at its start`},
		{"out of the section", isa.Program{{Op: isa.OpCall, Regs: isa.MakeRegs(0, 1), Imm: 1000}, exit}, nil,
			`no function at 0x1f48 of section "xdp"`},
		{"not a call", isa.Program{{Op: 0xb7}, exit}, func(o *object, sec int) {
			o.secs[sec].relocs = []outReloc{{0, Reloc64_64, o.byName["bad"]}}
		}, `relocation of opcode 0xb7, which is neither call nor lddw`},
		{"inside an instruction", lddw, func(o *object, sec int) {
			o.secs[sec].relocs = []outReloc{{4, Reloc64_64, o.byName["bad"]}}
		}, `relocation at 0x4, inside an instruction`},
		{"second half", lddw, func(o *object, sec int) {
			o.secs[sec].relocs = []outReloc{{8, Reloc64_64, o.byName["bad"]}}
		}, `xdp+0x8: program "bad": symbol "bad": relocation of the second half`},
		{"half an lddw", isa.Program{exit, {Op: isa.OpLdImm64}}, nil, `xdp+0x8: program "bad": wide instruction without its second half`},
		{"type", lddw, func(o *object, sec int) {
			o.secs[sec].relocs = []outReloc{{0, RelocAbs64, o.byName["bad"]}}
		}, `R_BPF_64_ABS64 in code: unsupported`},
		{"other section", lddw, func(o *object, sec int) {
			s := o.section("strange", 1, 2, make([]byte, 8))
			o.secs[sec].relocs = []outReloc{{0, Reloc64_64, o.sectionSymbol(s)}}
		}, `program "bad": symbol "strange": reference to section "strange": unsupported`},
		{"outside the data", isa.Program{{Op: isa.OpLdImm64, Regs: 1, Imm: 64}, {}, exit}, func(o *object, sec int) {
			s := o.section(".data", 1, 3, make([]byte, 8))
			o.secs[sec].relocs = []outReloc{{0, Reloc64_64, o.sectionSymbol(s)}}
		}, `address 0x40 is outside section ".data" of 0x8 bytes`},
		{"common", lddw, func(o *object, sec int) {
			v := o.addSymbol(outSymbol{name: "v", bind: 1, typ: 1, sec: 0xfff2})
			o.secs[sec].relocs = []outReloc{{0, Reloc64_64, v}}
		}, `symbol "v": reference to section COMMON`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newObject()
			sec := o.code("xdp", slices.Concat(tt.code, isa.Program{exit}))
			o.fn("bad", sec, 0, len(tt.code))
			o.fn("good", sec, len(tt.code), 1)
			if tt.make != nil {
				tt.make(o, sec)
			}
			f, err := open(o.layOut())
			if err != nil {
				t.Fatal(err)
			}
			c, err := f.Collection(Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
			if list, ok := errors.AsType[ErrorList](err); !ok || len(list.Programs()) != 1 || list.Programs()[0].Program != "bad" {
				t.Errorf("refused: %v", list.Programs())
			}
			if c.Program("good") == nil || c.Program("bad") != nil {
				t.Errorf("programs: %+v", c.Programs)
			}
			if info := f.Inspect(Options{}); len(info.Refused) != 1 || info.Refused[0].What != "program" {
				t.Errorf("inspect: %+v", info.Refused)
			}
		})
	}
}

// TestRela: with SHT_RELA the addend is beside the relocation and what is in the
// instruction does not count.
func TestRela(t *testing.T) {
	o := newObject()
	data := o.section(".data", delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, make([]byte, 16))
	text := o.code(".text", isa.Program{exit, {Op: 0xb7}, exit})
	o.fn("zero", text, 0, 1)
	o.fn("one", text, 1, 2)
	sec := o.code("xdp", isa.Program{
		{Op: isa.OpLdImm64, Regs: 1, Imm: 99}, {},
		{Op: isa.OpCall, Regs: isa.MakeRegs(0, 1), Imm: 99}, exit})
	o.fn("p", sec, 0, 4)
	dataSym, textSym := o.sectionSymbol(data), o.sectionSymbol(text)
	var rela []byte
	for _, r := range []struct {
		off    uint64
		typ    RelocType
		sym    symRef
		addend uint64
	}{{0, Reloc64_64, dataSym, 8}, {16, Reloc64_32, textSym, 8}} {
		for _, v := range []uint64{r.off, uint64(r.sym.idx)<<32 | uint64(r.typ), r.addend} {
			rela = binary.LittleEndian.AppendUint64(rela, v)
		}
	}
	o.add(outSection{name: ".relaxdp", typ: delf.SHT_RELA, data: rela, align: 8, entsize: relaSize, info: sec, link: len(o.secs) + 1})
	f, err := open(o.layOut())
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Collection(Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Program("p")
	if len(p.Refs) != 1 || p.Refs[0].Off != 8 {
		t.Errorf("references %+v", p.Refs)
	}
	if len(p.Funcs) != 2 || p.Funcs[1].Name != "one" || p.Insns[2].Imm != 1 {
		t.Errorf("functions %+v, call %+v", p.Funcs, p.Insns[2])
	}
}
