package elf

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"bpfvm/isa"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// typesOf makes a types collection; the ids are those of the arguments in order,
// from 1.
func typesOf(t *testing.T, list ...btf.Type) *btf.Spec {
	t.Helper()
	s, err := btf.LoadSpecFromReader(bytes.NewReader(btfSection(t, list...)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func member(name string, t btf.Type, off btf.Bits) btf.Member {
	return btf.Member{Name: name, Type: t, Offset: off * 8}
}

func bitfield(name string, t btf.Type, off, size btf.Bits) btf.Member {
	return btf.Member{Name: name, Type: t, Offset: off, BitfieldSize: size}
}

// TestCoreResolve computes relocations of small types, kind by kind.
func TestCoreResolve(t *testing.T) {
	s64 := &btf.Int{Name: "s64", Size: 8, Encoding: btf.Signed}
	inner := &btf.Struct{Name: "inner", Size: 8, Members: []btf.Member{member("a", u32Type, 0), member("b", u32Type, 4)}}
	local := &btf.Struct{Name: "task", Size: 64, Members: []btf.Member{
		member("pid", u32Type, 0), member("in", inner, 4), member("list", &btf.Array{Index: u32Type, Type: u32Type, Nelems: 4}, 12),
		member("gone", u32Type, 28), member("next", &btf.Pointer{Target: u32Type}, 32), member("count", s64, 40),
		bitfield("flag", u32Type, 48*8+3, 2), member("", &btf.Union{Size: 4, Members: []btf.Member{member("anon", u32Type, 0)}}, 52),
		member("flex", &btf.Array{Index: u32Type, Type: u32Type}, 56),
	}}
	flavour := &btf.Struct{Name: "task___old", Size: 4, Members: []btf.Member{member("gone", u32Type, 0)}}
	colour := &btf.Enum{Name: "colour", Size: 4, Values: []btf.EnumValue{{Name: "RED", Value: 1}, {Name: "GREEN___v2", Value: 2}, {Name: "BLUE", Value: 3}}}
	missing := &btf.Struct{Name: "missing", Size: 12, Members: []btf.Member{member("x", u32Type, 0)}}
	typedef := &btf.Typedef{Name: "pid_type", Type: u32Type}

	kinner := &btf.Struct{Name: "inner", Size: 16, Members: []btf.Member{member("b", u32Type, 0), member("a", u64Type, 8)}}
	kernel := &btf.Struct{Name: "task", Size: 256, Members: []btf.Member{
		member("", &btf.Struct{Size: 16, Members: []btf.Member{member("state", u64Type, 0), member("pid", u64Type, 8)}}, 16),
		member("in", kinner, 32), member("list", &btf.Array{Index: u32Type, Type: u64Type, Nelems: 2}, 48),
		member("next", &btf.Pointer{Target: u64Type}, 64), member("count", intType, 72),
		bitfield("flag", u32Type, 80*8+30, 4), member("anon", u32Type, 96),
		member("flex", &btf.Array{Index: u32Type, Type: u64Type}, 256),
	}}
	kcolour := &btf.Enum{Name: "colour", Size: 4, Values: []btf.EnumValue{{Name: "GREEN", Value: 20}, {Name: "RED", Value: 10}}}
	target := typesOf(t, kernel, kcolour, &btf.Typedef{Name: "pid_type", Type: u64Type})

	const task, task2, col, gone, pid = 1, 2, 3, 4, 5
	spec := typesOf(t, local, flavour, colour, missing, typedef)
	tests := []struct {
		name   string
		typ    uint32
		kind   coreKind
		access string

		path          string
		before, after uint64
		oldSize, size uint32
		poison, bad   bool
		note          string
	}{
		{name: "offset in an unnamed structure", typ: task, access: "0:0", path: "task.pid", after: 24, oldSize: 4, size: 8},
		{name: "member of a member", typ: task, access: "0:1:1", path: "task.in.b", before: 8, after: 32, oldSize: 4, size: 4},
		{name: "array element", typ: task, access: "0:2:1", path: "task.list[1]", before: 16, after: 56, oldSize: 4, size: 8},
		{name: "array too short in the target", typ: task, access: "0:2:3", path: "task.list[3]", before: 24, poison: true, note: "array has 2 elements, element 3 is used"},
		{name: "last member without length", typ: task, access: "0:8:3", path: "task.flex[3]", before: 68, after: 280, oldSize: 4, size: 8},
		{name: "element of a pointer to many", typ: task, access: "2:0", path: "task[2].pid", before: 128, after: 2*256 + 24, oldSize: 4, size: 8},
		{name: "pointer", typ: task, access: "0:4", path: "task.next", before: 32, after: 64, oldSize: 8, size: 8},
		{name: "signed shrinks", typ: task, access: "0:5", path: "task.count", before: 40, after: 72, oldSize: 8, size: 4, bad: true},
		{name: "out of an unnamed union", typ: task, access: "0:7:0", path: "task.anon", before: 52, after: 96, oldSize: 4, size: 4},
		{name: "missing member", typ: task, access: "0:3", path: "task.gone", before: 28, poison: true, note: `the target's struct task has no member gone`},
		{name: "missing member exists?", typ: task, kind: coreFieldExists, access: "0:3", path: "task.gone", before: 1, note: "no member gone"},
		{name: "member exists?", typ: task, kind: coreFieldExists, access: "0:0", path: "task.pid", before: 1, after: 1},
		{name: "flavour looks at the same type", typ: task2, kind: coreFieldExists, access: "0:0", path: "task___old.gone", before: 1, note: "no member gone"},
		{name: "size of a member", typ: task, kind: coreByteSize, access: "0:1", path: "task.in", before: 8, after: 16},
		{name: "sign", typ: task, kind: coreSigned, access: "0:5", path: "task.count", before: 1, after: 1},
		{name: "bitfield offset", typ: task, access: "0:6", path: "task.flag", before: 48, after: 80},
		{name: "bitfield size", typ: task, kind: coreByteSize, access: "0:6", path: "task.flag", before: 4, after: 8},
		{name: "bitfield left shift", typ: task, kind: coreLShift, access: "0:6", path: "task.flag", before: 64 - 5, after: 64 - 34},
		{name: "bitfield right shift", typ: task, kind: coreRShift, access: "0:6", path: "task.flag", before: 62, after: 60},
		{name: "local id", typ: gone, kind: coreTypeIDLocal, access: "0", path: "missing", before: gone, after: gone},
		{name: "type exists", typ: task, kind: coreTypeExists, access: "0", path: "task", before: 1, after: 1},
		{name: "type is missing", typ: gone, kind: coreTypeExists, access: "0", path: "missing", before: 1, note: "the target has no type missing"},
		{name: "type size", typ: task, kind: coreTypeSize, access: "0", path: "task", before: 64, after: 256},
		{name: "size of a missing type", typ: gone, kind: coreTypeSize, access: "0", path: "missing", before: 12, note: "no type missing"},
		{name: "type does not match", typ: task, kind: coreTypeMatches, access: "0", path: "task", before: 1, note: "has 9 members, 8 in the target"},
		{name: "typedef of another size does not match", typ: pid, kind: coreTypeMatches, access: "0", path: "pid_type", before: 1, note: "is u64 in the target"},
		{name: "typedef exists", typ: pid, kind: coreTypeExists, access: "0", path: "pid_type", before: 1, after: 1},
		{name: "enumerator", typ: col, kind: coreEnumvalValue, access: "0", path: "colour::RED", before: 1, after: 10},
		{name: "enumerator with a flavour", typ: col, kind: coreEnumvalValue, access: "1", path: "colour::GREEN___v2", before: 2, after: 20},
		{name: "missing enumerator", typ: col, kind: coreEnumvalValue, access: "2", path: "colour::BLUE", before: 3, poison: true, note: "has no value BLUE"},
		{name: "missing enumerator exists?", typ: col, kind: coreEnumvalExists, access: "2", path: "colour::BLUE", before: 1, note: "has no value BLUE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &coreResolver{local: spec, target: target, cands: map[uint32][]btf.Type{}, steps: 1000, b: newBudget(0)}
			got, err := c.resolve(&coreRelo{typeID: tt.typ, kind: tt.kind, access: tt.access})
			if err != nil {
				t.Fatal(err)
			}
			if got.path != tt.path || got.before != tt.before || got.after != tt.after || got.poison != tt.poison ||
				got.oldSize != tt.oldSize || got.newSize != tt.size || got.badSize != tt.bad {
				t.Errorf("got %+v", got)
			}
			if !strings.Contains(got.note, tt.note) || (tt.note == "") != (got.note == "") {
				t.Errorf("note %q, want %q", got.note, tt.note)
			}
		})
	}
}

// TestCoreFaults: what is wrong with the object is an error, not a poisoned
// instruction.
func TestCoreFaults(t *testing.T) {
	st := &btf.Struct{Name: "s", Size: 8, Members: []btf.Member{member("a", u32Type, 0), member("v", &btf.Array{Index: u32Type, Type: u32Type, Nelems: 1}, 4)}}
	spec := typesOf(t, st, &btf.Struct{Size: 4}, &btf.Enum{Name: "e", Size: 4, Values: []btf.EnumValue{{Name: "A"}}})
	two := &btf.Struct{Name: "s", Size: 16, Members: []btf.Member{member("a", u32Type, 8), member("v", &btf.Array{Index: u32Type, Type: u32Type, Nelems: 1}, 12)}}
	target := typesOf(t, st, two)
	tests := []struct {
		name   string
		typ    uint32
		kind   coreKind
		access string
		is     error
		want   string
	}{
		{"unknown kind", 1, 40, "0", errors.ErrUnsupported, "relocation kind 40"},
		{"no access string", 1, coreByteOff, "", ErrFormat, `access string ""`},
		{"letters", 1, coreByteOff, "0:x", ErrFormat, `access string "0:x"`},
		{"negative", 1, coreByteOff, "0:-1", ErrFormat, `access string "0:-1"`},
		{"member too large", 1, coreByteOff, "0:2", ErrFormat, "struct s has 2 members"},
		{"element too large", 1, coreByteOff, "0:1:1", ErrFormat, "the array has 1 elements"},
		{"into an integer", 1, coreByteOff, "0:0:0", ErrFormat, "goes into u32"},
		{"too long", 1, coreByteOff, strings.Repeat("0:", 70) + "0", ErrFormat, "more than 64 elements"},
		{"huge index", 1, coreByteOff, "2147483647:0", ErrFormat, "beyond 4 GiB"},
		{"type with a path", 1, coreTypeSize, "0:1", ErrFormat, "of the whole type"},
		{"no name", 2, coreTypeSize, "0", errors.ErrUnsupported, "a type without a name"},
		{"enumerator too large", 3, coreEnumvalValue, "1", ErrFormat, `access string "1" of enum e`},
		{"enumerator of a structure", 1, coreEnumvalValue, "0", ErrFormat, `of struct s`},
		{"ambiguous", 1, coreByteOff, "0:0", ErrFormat, "disagree about its offset: 0 and 64 bits"},
		{"ambiguous size", 1, coreTypeSize, "0", ErrFormat, "disagree about its value: 8 and 16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &coreResolver{local: spec, target: target, cands: map[uint32][]btf.Type{}, steps: 1000, b: newBudget(0)}
			_, err := c.resolve(&coreRelo{typeID: tt.typ, kind: tt.kind, access: tt.access})
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %q wrapping %v", err, tt.want, tt.is)
			}
		})
	}
}

// TestCorePatch corrects each kind of instruction.
func TestCorePatch(t *testing.T) {
	ldx := func(size isa.Size, off int16) isa.Program {
		return isa.Program{{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, size), Regs: 0x12, Off: off}}
	}
	mov := func(imm int32) isa.Program {
		return isa.Program{{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK), Regs: 1, Imm: imm}}
	}
	wide := func(v uint64) isa.Program {
		p := isa.Program{{Op: isa.OpLdImm64, Regs: 1}, {}}
		p.SetImm64(0, v)
		return p
	}
	bad := isa.Instruction{Op: isa.OpCall, Imm: badCoreHelper}
	tests := []struct {
		name string
		in   isa.Program
		res  coreResult
		want isa.Program
		err  string
	}{
		{"load", ldx(isa.SizeW, 8), coreResult{before: 8, after: 100, validate: true, oldSize: 4, newSize: 4}, ldx(isa.SizeW, 100), ""},
		{"load grows", ldx(isa.SizeW, 8), coreResult{before: 8, after: 100, validate: true, oldSize: 4, newSize: 8}, ldx(isa.SizeDW, 100), ""},
		{"load of another size", ldx(isa.SizeB, 8), coreResult{before: 8, after: 9, validate: true, oldSize: 4, newSize: 8}, nil, "access of 1 bytes to a member of 4"},
		{"load cannot change", ldx(isa.SizeW, 8), coreResult{before: 8, after: 9, validate: true, oldSize: 4, newSize: 8, badSize: true}, isa.Program{bad}, ""},
		{"offset too large", ldx(isa.SizeW, 8), coreResult{before: 8, after: 40000, validate: true}, nil, "new offset 40000 does not fit in 16 bits"},
		{"wrong offset", ldx(isa.SizeW, 8), coreResult{before: 9, validate: true}, nil, "offset is 8, expected 9"},
		{"poisoned load", ldx(isa.SizeW, 8), coreResult{before: 8, poison: true}, isa.Program{bad}, ""},
		{"move", mov(8), coreResult{before: 8, after: 70000, validate: true}, mov(70000), ""},
		{"move not checked", mov(7), coreResult{before: 8, after: 9}, mov(9), ""},
		{"move of too much", mov(8), coreResult{before: 8, after: 1 << 32, validate: true}, nil, "does not fit in 32 bits"},
		{"move of -1", mov(8), coreResult{before: 8, after: 1<<64 - 1, validate: true}, mov(-1), ""},
		{"poisoned move", mov(8), coreResult{before: 8, poison: true}, isa.Program{bad}, ""},
		{"lddw", wide(1 << 40), coreResult{before: 1 << 40, after: 1<<50 + 5, validate: true}, wide(1<<50 + 5), ""},
		{"wrong lddw", wide(2), coreResult{before: 1, after: 5, validate: true}, nil, "immediate is 0x2, expected 0x1"},
		{"poisoned lddw", wide(2), coreResult{before: 2, poison: true}, isa.Program{bad, bad}, ""},
		{"exit", isa.Program{exit}, coreResult{}, nil, "opcode 0x95 holds no value to correct"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := patch(tt.in, 0, &tt.res)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.in); diff != "" {
				t.Errorf("code (-want +got):\n%s", diff)
			}
		})
	}
}
