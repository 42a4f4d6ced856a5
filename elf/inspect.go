package elf

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// Info is everything that there is to see in an object, ready for a table or for
// JSON. Numbers are plain, names are the field's own.
type Info struct {
	Name     string        `json:"name"`
	Size     int64         `json:"size"`
	Machine  string        `json:"machine"` // "BPF", or "none" from old compilers
	License  string        `json:"license"`
	Version  uint32        `json:"version"`
	Sections []SectionInfo `json:"sections"`
	Symbols  []SymbolInfo  `json:"symbols"`
	Relocs   []RelocInfo   `json:"relocations"`
	Maps     []MapInfo     `json:"maps"`
	Programs []ProgramInfo `json:"programs"`
	BTF      *BTFInfo      `json:"btf,omitempty"`
	Core     []CoreInfo    `json:"core"`
	Refused  []Refusal     `json:"refused"`

	Variables []VariableInfo `json:"variables"`
	Externs   []ExternInfo   `json:"externs"`
}

// SectionInfo is a row of the classic loader's table:
// "section N:NAME data .. size .. link .. flags .." (bpf_load.c).
type SectionInfo struct {
	Index   int    `json:"index"`
	Name    string `json:"name"`
	Type    string `json:"type"` // "PROGBITS"
	Offset  uint64 `json:"offset"`
	Size    uint64 `json:"size"`
	Link    uint32 `json:"link"`
	Info    uint32 `json:"info"`
	Flags   uint64 `json:"flags"`
	Letters string `json:"flag_letters"` // "AX"
	EntSize uint64 `json:"entsize"`
	Align   uint64 `json:"align"`
	Role    string `json:"role"` // what a loader does with it: "code", "legacy maps", ...; "" for nothing
}

// SymbolInfo is a row of the symbol table.
type SymbolInfo struct {
	Index   int    `json:"index"`
	Name    string `json:"name"`
	Type    string `json:"type"` // "FUNC"
	Bind    string `json:"bind"` // "GLOBAL"
	Section string `json:"section"`
	Value   uint64 `json:"value"`
	Size    uint64 `json:"size"`
}

// RelocInfo is a relocation with what it did. Before is what the object holds;
// After is what the first program with this instruction holds.
type RelocInfo struct {
	Section string `json:"section"`
	Off     uint64 `json:"offset"`
	Type    string `json:"type"`
	Symbol  string `json:"symbol"`
	Program string `json:"program,omitempty"` // where After is
	PC      int    `json:"pc"`                // there; -1 where it is in no program
	Before  Slot   `json:"before"`
	After   Slot   `json:"after,omitzero"`
}

// Slot is an instruction as bytes and as text. A wide instruction has 16 bytes.
type Slot struct {
	Hex  string `json:"hex"`
	Text string `json:"text"`
}

// MapInfo is a map.
type MapInfo struct {
	Name       string   `json:"name"`
	Section    string   `json:"section"`
	Type       string   `json:"type"` // "hash"
	KeySize    uint32   `json:"key_size"`
	ValueSize  uint32   `json:"value_size"`
	MaxEntries uint32   `json:"max_entries"`
	Flags      uint32   `json:"flags"`
	Extra      uint64   `json:"map_extra,omitempty"`
	Pinning    uint32   `json:"pinning,omitempty"`
	NumaNode   uint32   `json:"numa_node,omitempty"`
	KeyType    string   `json:"key_type,omitempty"`
	ValueType  string   `json:"value_type,omitempty"`
	Frozen     bool     `json:"frozen,omitempty"`
	Inner      *MapInfo `json:"inner,omitempty"`
	Elements   int      `json:"initial_elements,omitempty"`
	Ops        []OpInfo `json:"members,omitempty"`   // of a struct_ops map
	NoCreate   bool     `json:"no_create,omitempty"` // made on request only
}

// ProgramInfo is a program.
type ProgramInfo struct {
	Name     string   `json:"name"`
	Section  string   `json:"section"`
	Type     string   `json:"type"`                  // "xdp"
	Attach   string   `json:"attach_type,omitempty"` // "xdp"; empty where the type has none
	AttachTo string   `json:"attach_to,omitempty"`
	Auto     bool     `json:"auto_attach"`            // libbpf attaches it by its section's name
	NoLoad   bool     `json:"no_load,omitempty"`      // loaded on request only: "?kprobe/..."
	NoTarget string   `json:"attach_error,omitempty"` // why its section names no place
	Slots    int      `json:"slots"`
	Funcs    []string `json:"functions"`
	Maps     []string `json:"maps"`
	Kfuncs   []string `json:"kfuncs,omitempty"`
	Relocs   int      `json:"relocations"`
	Core     int      `json:"core_relocations"`
	Lines    int      `json:"lines"`
	Source   string   `json:"source,omitempty"` // file of its first line
}

// BTFInfo sums up the object's types.
type BTFInfo struct {
	Size    int            `json:"size"`
	Types   int            `json:"types"`
	Strings int            `json:"strings"` // bytes
	Kinds   map[string]int `json:"kinds"`
	Ext     bool           `json:"ext"`
	Funcs   int            `json:"func_infos"`
	Lines   int            `json:"line_infos"`
	Core    int            `json:"core_relocations"`
	Error   string         `json:"error,omitempty"`
}

// CoreInfo is a CO-RE relocation with what it did.
type CoreInfo struct {
	Section string `json:"section"`
	Off     uint64 `json:"offset"`
	Kind    string `json:"kind"`
	Type    string `json:"type"`
	Access  string `json:"access"` // as in the object: "0:1:2"
	Path    string `json:"path"`   // in C: "task_struct.mm"
	Before  uint64 `json:"before"`
	After   uint64 `json:"after"`
	Poison  bool   `json:"poison,omitempty"`
	Note    string `json:"note,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Refusal is a part of the object that cannot be used.
type Refusal struct {
	What        string `json:"what"` // "program", "map" or "section"
	Name        string `json:"name"`
	Section     string `json:"section"`
	Off         int64  `json:"offset"` // -1 when not one place
	Symbol      string `json:"symbol,omitempty"`
	Reason      string `json:"reason"`
	Unsupported bool   `json:"unsupported"` // well formed, but not read by bpfvm
}

// Inspect links the object and describes all of it. It does not fail: what
// cannot be used is in Refused.
func (f *File) Inspect(opts Options) *Info {
	info := &Info{Name: opts.Name, Size: f.Header.TotalSize, Machine: "BPF", License: f.License(),
		Symbols: []SymbolInfo{}, Relocs: []RelocInfo{}, Maps: []MapInfo{}, Programs: []ProgramInfo{},
		Core: []CoreInfo{}, Refused: []Refusal{}, Variables: []VariableInfo{}, Externs: []ExternInfo{}}
	if f.Header.Machine == 0 {
		info.Machine = "none"
	}
	f.describeSections(info)
	l, err := f.link(opts)
	if err != nil {
		info.Refused = append(info.Refused, refusal(err))
		return info
	}
	info.Version = l.out.Version
	for i := range l.f.Sections {
		l.describeRelocs(info, i)
	}
	for _, m := range l.out.Maps {
		info.Maps = append(info.Maps, l.describeMap(m))
	}
	for _, p := range l.out.Programs {
		info.Programs = append(info.Programs, describeProgram(p))
	}
	l.describeBTF(info)
	l.describeVariables(info)
	l.describeExterns(info)
	for _, err := range l.errs {
		info.Refused = append(info.Refused, refusal(err))
	}
	return info
}

func (f *File) describeSections(info *Info) {
	for i := range f.Sections {
		s := &f.Sections[i]
		info.Sections = append(info.Sections, SectionInfo{
			Index: i, Name: s.Name, Type: s.TypeName(), Offset: s.Offset, Size: s.Size, Link: s.Link, Info: s.Info,
			Flags: s.Flags, Letters: s.FlagNames(), EntSize: s.EntSize, Align: s.Align, Role: role(s),
		})
	}
	for i := range f.Symbols {
		s := &f.Symbols[i]
		where := f.specialSection(s.Section)
		if sec := f.section(s.Section); sec != nil {
			where = sec.Name
		}
		info.Symbols = append(info.Symbols, SymbolInfo{Index: i, Name: s.Name, Type: s.TypeName(), Bind: s.BindName(),
			Section: where, Value: s.Value, Size: s.Size})
	}
}

// role names what a loader does with a section.
func role(s *Section) string {
	switch classify(s) {
	case secCode:
		return "code"
	case secLegacyMaps:
		return "legacy maps"
	case secBTFMaps:
		return "maps"
	case secData:
		return "data"
	case secStructOps:
		return "struct_ops"
	case secArena:
		return "arena data"
	}
	switch {
	case s.Name == "license" || s.Name == "version":
		return s.Name
	case s.Name == ".BTF" || s.Name == ".BTF.ext":
		return "types"
	case s.Type == shtSymtab:
		return "symbols"
	case s.Type == shtRel || s.Type == shtRela:
		return "relocations"
	}
	return ""
}

const (
	shtSymtab = 2 // SHT_SYMTAB
	shtRela   = 4 // SHT_RELA
	shtRel    = 9 // SHT_REL
)

// describeRelocs lists the relocations of one section.
func (l *loader) describeRelocs(info *Info, sec int) {
	s := &l.f.Sections[sec]
	var pr isa.Printer
	for _, r := range l.f.Relocs(sec) {
		out := RelocInfo{Section: s.Name, Off: r.Off, Type: r.Type.String(), Symbol: l.f.Symbols[r.Sym].Name, PC: -1}
		if !s.Exec() {
			out.Before.Hex = hex.EncodeToString(s.data[min(r.Off, uint64(len(s.data))):min(r.Off+8, uint64(len(s.data)))])
			info.Relocs = append(info.Relocs, out)
			continue
		}
		if r.Off%isa.SlotSize == 0 {
			raw, _ := isa.Decode(s.data[r.Off : min(r.Off+2*isa.SlotSize, s.Size)&^(isa.SlotSize-1)])
			out.Before = slotInfo(&pr, raw, 0)
		}
		if fn := l.functionOver(sec, r.Off); fn != nil && fn.in != nil {
			out.Program = fn.in.Name
			out.PC = int(fn.base) + int((r.Off-fn.off)/isa.SlotSize)
			named := isa.Printer{
				Imm64:      func(pc isa.PC, kind isa.Pseudo, _ uint64) string { return refText(fn.in, isa.PC(out.PC), kind) },
				KfuncName:  func(int32, int16) string { return refName(fn.in, isa.PC(out.PC)) },
				CallTarget: func(to isa.PC) string { return callee(fn.in, to) },
			}
			out.After = slotInfo(&named, fn.in.Insns, isa.PC(out.PC))
		}
		info.Relocs = append(info.Relocs, out)
	}
}

// refText writes what a linked LDDW refers to, as the assembler reads it.
func refText(p *spec.ProgramSpec, pc isa.PC, kind isa.Pseudo) string {
	r := p.RefAt(pc)
	switch {
	case r == nil:
		return ""
	case kind == isa.PseudoMapFD:
		return "map[" + r.Name + "]"
	case kind == isa.PseudoMapValue:
		return "map[" + r.Name + "][0]+" + strconv.FormatUint(uint64(r.Off), 10)
	}
	return r.Name
}

func refName(p *spec.ProgramSpec, pc isa.PC) string {
	if r := p.RefAt(pc); r != nil {
		return r.Name
	}
	return ""
}

func callee(p *spec.ProgramSpec, to isa.PC) string {
	if f := p.FuncAt(to); f != nil && f.PC == to {
		return f.Name
	}
	return ""
}

// slotInfo writes one instruction.
func slotInfo(pr *isa.Printer, p isa.Program, pc isa.PC) Slot {
	if pc < 0 || int(pc) >= len(p) {
		return Slot{}
	}
	n := 1
	if p[pc].IsWide() && int(pc)+1 < len(p) {
		n = 2
	}
	return Slot{Hex: hex.EncodeToString(isa.Encode(p[pc : int(pc)+n])), Text: pr.Insn(p, pc)}
}

func (l *loader) describeMap(m *spec.MapSpec) MapInfo {
	out := MapInfo{Name: m.Name, Section: m.Section, Type: m.Type.String(), KeySize: m.KeySize, ValueSize: m.ValueSize,
		MaxEntries: m.MaxEntries, Flags: uint32(m.Flags), Extra: m.Extra, Pinning: m.Pinning, NumaNode: m.NumaNode,
		KeyType: l.typeName(m.KeyTypeID), ValueType: l.typeName(m.ValueTypeID), Frozen: m.Frozen, Elements: len(m.Contents),
		Ops: l.describeOps(m), NoCreate: m.NoCreate}
	if m.Inner != nil {
		inner := l.describeMap(m.Inner)
		out.Inner = &inner
	}
	return out
}

// typeName describes a type of the object by its id.
func (l *loader) typeName(id uint32) string {
	if id == 0 || l.bt == nil {
		return ""
	}
	t, err := l.bt.spec.TypeByID(btf.TypeID(id))
	if err != nil {
		return ""
	}
	if ds, ok := t.(*btf.Datasec); ok {
		return ds.Name
	}
	return types.Declare(t, "")
}

func describeProgram(p *spec.ProgramSpec) ProgramInfo {
	out := ProgramInfo{Name: p.Name, Section: p.Section, Type: p.Type.String(), AttachTo: p.AttachTo,
		Slots: len(p.Insns), Relocs: len(p.Refs), Core: len(p.Core), Lines: len(p.Lines), Maps: []string{}}
	if p.Attach != 0 || p.Type == spec.ProgCgroupSKB {
		out.Attach = p.Attach.String() // number 0 is cgroup_skb's ingress
	}
	out.NoLoad = strings.HasPrefix(p.Section, "?")
	if rule, to, ok := spec.MatchSection(p.Section); ok {
		target, err := rule.Target(to)
		if out.Auto = target.Auto && !out.NoLoad; err != nil {
			out.NoTarget = err.Error()
		}
	}
	for _, fn := range p.Funcs {
		out.Funcs = append(out.Funcs, fn.Name)
	}
	seen := make(map[spec.Ref]bool) // by kind and name
	for _, r := range p.Refs {
		key := spec.Ref{Kind: r.Kind, Name: r.Name}
		if key.Kind == spec.RefMapValue {
			key.Kind = spec.RefMap
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		switch key.Kind {
		case spec.RefMap:
			out.Maps = append(out.Maps, r.Name)
		case spec.RefKfunc:
			out.Kfuncs = append(out.Kfuncs, r.Name)
		}
	}
	if len(p.Lines) > 0 {
		out.Source = p.Lines[0].File
	}
	return out
}

// describeBTF sums up .BTF and lists the CO-RE relocations.
func (l *loader) describeBTF(info *Info) {
	if l.bt == nil {
		if !errors.Is(l.btErr, ErrNoBTF) {
			info.BTF = &BTFInfo{Error: l.btErr.Error()}
		}
		return
	}
	b := &BTFInfo{Size: len(l.bt.raw), Types: l.bt.types - 1, Strings: len(l.bt.strings), Kinds: make(map[string]int), Ext: l.ext != nil}
	for k, n := range l.bt.kinds {
		if n > 0 {
			b.Kinds[kindNames[k]] = n
		}
	}
	info.BTF = b
	if l.extErr != nil {
		b.Error = l.extErr.Error()
	}
	if l.ext == nil {
		return
	}
	for _, list := range l.ext.funcs {
		b.Funcs += len(list)
	}
	for _, list := range l.ext.lines {
		b.Lines += len(list)
	}
	b.Core = len(l.ext.order)
	for _, r := range l.ext.order {
		c := CoreInfo{Section: l.f.Sections[r.sec].Name, Off: r.off, Kind: r.kind.String(), Type: r.res.typeName,
			Access: r.access, Path: r.res.path, Before: r.res.before, After: r.res.after, Poison: r.res.poison, Note: r.res.note}
		if r.err != nil {
			c.Error = r.err.Error()
		}
		info.Core = append(info.Core, c)
	}
}

// refusal describes one entry of an ErrorList.
func refusal(err error) Refusal {
	r := Refusal{What: "object", Off: -1, Reason: err.Error(), Unsupported: errors.Is(err, errors.ErrUnsupported)}
	if pe, ok := errors.AsType[*ProgramError](err); ok {
		r.What, r.Name, r.Section, r.Off, r.Symbol, r.Reason = "program", pe.Program, pe.Section, pe.Off, pe.Symbol, pe.Err.Error()
	} else if me, ok := errors.AsType[*MapError](err); ok {
		r.What, r.Name, r.Section, r.Off, r.Reason = "map", me.Map, me.Section, me.Off, me.Err.Error()
	} else if se, ok := errors.AsType[*SectionError](err); ok {
		r.What, r.Name, r.Section, r.Off, r.Symbol, r.Reason = "section", se.Section, se.Section, se.Off, se.Symbol, se.Err.Error()
	}
	return r
}
