package spec

import (
	"sort"

	"bpfvm/isa"
)

// CollectionSpec is everything that one object file asks the kernel for. It is
// the loader's output: instructions are linked (subprograms appended, CO-RE
// applied) and name the maps that they need, but nothing is created yet.
type CollectionSpec struct {
	Name     string // the object's base name, for messages
	License  string // section "license", without the NUL; empty when absent
	Version  uint32 // section "version" (LINUX_VERSION_CODE); 0 when absent
	Programs []*ProgramSpec
	Maps     []*MapSpec
	BTF      []byte // the object's raw .BTF section; nil when absent
}

// Program returns the program of that function name, or nil.
func (c *CollectionSpec) Program(name string) *ProgramSpec {
	for _, p := range c.Programs {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Map returns the map of that name, or nil.
func (c *CollectionSpec) Map(name string) *MapSpec {
	for _, m := range c.Maps {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// ProgramSpec is one program before it is loaded.
type ProgramSpec struct {
	Name     string // the C function
	Section  string // as written in SEC("...")
	Type     ProgType
	Attach   AttachType
	AttachTo string // what follows the prefix: "kmem_cache_free", "syscalls/sys_enter_openat"
	Flags    uint32 // BPF_F_* of BPF_PROG_LOAD: sleepable, xdp frags
	License  string
	Version  uint32

	// Insns holds the program's function at slot 0, then every subprogram that
	// it reaches, as libbpf lays them out. Map references are wide instructions
	// with a pseudo source and an entry in Refs.
	Insns isa.Program
	Funcs []Func // sorted by PC; the first is the program itself
	Lines []Line // sorted by PC; empty without .BTF.ext
	Refs  []Ref  // sorted by PC
	Core  []CoreReloc
}

// FuncAt returns the function that contains the slot, or nil.
func (p *ProgramSpec) FuncAt(pc isa.PC) *Func {
	i := sort.Search(len(p.Funcs), func(i int) bool { return p.Funcs[i].PC > pc })
	if i == 0 {
		return nil
	}
	return &p.Funcs[i-1]
}

// LineAt returns the source line that the slot belongs to, or nil.
func (p *ProgramSpec) LineAt(pc isa.PC) *Line {
	i := sort.Search(len(p.Lines), func(i int) bool { return p.Lines[i].PC > pc })
	if i == 0 {
		return nil
	}
	return &p.Lines[i-1]
}

// RefAt returns the reference made by the slot, or nil.
func (p *ProgramSpec) RefAt(pc isa.PC) *Ref {
	i := sort.Search(len(p.Refs), func(i int) bool { return p.Refs[i].PC >= pc })
	if i == len(p.Refs) || p.Refs[i].PC != pc {
		return nil
	}
	return &p.Refs[i]
}

// Func is one function of a program: a bpf_func_info with its name.
type Func struct {
	Name   string
	PC     isa.PC
	TypeID uint32 // BTF id of the FUNC; 0 without BTF
	Global bool   // verified on its own (BTF_FUNC_GLOBAL)
}

// Line is a bpf_line_info with its text.
type Line struct {
	PC   isa.PC
	File string
	Line int    // 1-based
	Col  int    // 1-based; 0 when unknown
	Text string // the source line as the compiler stored it, may be empty
}

// RefKind says what a wide instruction or a call points to.
type RefKind uint8

// Kinds of references.
const (
	RefMap      RefKind = iota // the map itself (BPF_PSEUDO_MAP_FD)
	RefMapValue                // inside a map's only value (BPF_PSEUDO_MAP_VALUE)
	RefKfunc                   // a kernel function, by name
	RefKsym                    // a kernel variable, by name
)

// Ref is one reference of the code to something that exists after loading only.
type Ref struct {
	PC   isa.PC
	Kind RefKind
	Name string // map, kfunc or ksym
	Off  uint32 // RefMapValue: byte offset into the value
	Weak bool   // may stay unresolved (then 0)
}

// CoreReloc tells what one CO-RE relocation did to its instruction.
type CoreReloc struct {
	PC     isa.PC
	Kind   string // "byte_off", "field_exists", ... (enum bpf_core_relo_kind)
	Type   string // the local root type, "task_struct"
	Path   string // the access as text, "task_struct.real_parent"
	Before uint64 // the compiler's value
	After  uint64 // the target's value
	Note   string // why it was poisoned, or empty
	Poison bool   // the instruction became an invalid call, as libbpf does it
}

// MapSpec is one map before it is created.
type MapSpec struct {
	Name       string
	Type       MapType
	KeySize    uint32 // bytes
	ValueSize  uint32 // bytes
	MaxEntries uint32
	Flags      MapFlags
	Extra      uint64 // map_extra
	Pinning    uint32 // LIBBPF_PIN_*; kept for display, never acted on
	NumaNode   uint32

	KeyTypeID   uint32 // BTF ids in the collection's BTF; 0 when unknown
	ValueTypeID uint32

	Inner *MapSpec // template of map-in-map types
	// InnerIndex is the classic loader's inner_map_idx; it names a map by its
	// place in the maps section and is resolved into Inner by package elf.
	InnerIndex uint32

	// Contents are the initial elements: the bytes of .data, .rodata and .bss as
	// the one element of an array, and .maps initialisers. The one element of a
	// struct_ops map is the structure as the object has it, with 0 where Ops names
	// a program; that of an arena are the bytes at its start, the variables of
	// section .addr_space.1.
	Contents []MapKV
	// Ops are the programs of a struct_ops map, in the order of its members.
	Ops []MapOp
	// NoCreate is set for struct_ops maps in a section whose name begins with "?":
	// libbpf makes them when it is asked to.
	NoCreate bool
	// Section is where the map was defined: "maps", ".maps", ".rodata", ...
	Section string
	Frozen  bool // .rodata: user space cannot change it after load
}

// MapOp is one program of a struct_ops map: the function that a member of the
// kernel's structure shall point to.
type MapOp struct {
	Member  string
	Off     uint32 // bytes from the start of the object's structure
	Program string
}

// MapKV is one initial element. Exactly one of Value, Program and Map is set.
type MapKV struct {
	Key     []byte
	Value   []byte
	Program string // prog array: function name
	Map     string // map in map: map name
}
