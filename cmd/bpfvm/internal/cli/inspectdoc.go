package cli

import (
	"fmt"
	"strings"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

// inspectDoc is the document of "inspect". For a directory the lists hold what all
// objects have; each entry names its object.
type inspectDoc struct {
	docHead
	Objects  []objectEntry  `json:"objects"`
	Sections []sectionEntry `json:"sections"`
	Symbols  []symbolEntry  `json:"symbols"`
	Programs []programEntry `json:"programs"`
	Maps     []mapEntry     `json:"maps"`
	Relocs   []relocEntry   `json:"relocs"`
	// Variables, Externs and, if asked for with --btf, Types.
	Variables []variableEntry `json:"variables"`
	Externs   []externEntry   `json:"externs"`
	Types     []typeEntry     `json:"types,omitempty"`
	Refused   []refusal       `json:"refused"`
	Summary   summary         `json:"summary"`
}

type summary struct {
	Objects  int `json:"objects"`
	Programs int `json:"programs"`
	Maps     int `json:"maps"`
	Refused  int `json:"refused"`
}

type objectEntry struct {
	Object      string `json:"object"`
	Size        int64  `json:"size"`
	Machine     int    `json:"machine"`
	License     string `json:"license"`
	VersionCode uint32 `json:"version_code"`
	Kernel      string `json:"kernel,omitempty"` // the version code as text
	BTF         bool   `json:"btf"`
	LineInfo    bool   `json:"line_info"`
}

type sectionEntry struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	Offset    uint64 `json:"offset"`
	Size      uint64 `json:"size"`
	Link      uint32 `json:"link"`
	Info      uint32 `json:"info"`
	Flags     uint64 `json:"flags"`
	FlagNames string `json:"flag_names"`
}

type symbolEntry struct {
	Object  string `json:"object"`
	Index   int    `json:"index"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Bind    string `json:"bind"`
	Section string `json:"section"`
	Value   uint64 `json:"value"`
	Size    uint64 `json:"size"`
}

type programEntry struct {
	Object    string      `json:"object"`
	Name      string      `json:"name"`
	Section   string      `json:"section"`
	Type      string      `json:"type"`
	Attach    string      `json:"attach,omitempty"`
	AttachTo  string      `json:"attach_to,omitempty"`
	Auto      bool        `json:"auto_attach"`       // libbpf attaches it by its section's name
	NoLoad    bool        `json:"no_load,omitempty"` // libbpf loads it on request only
	License   string      `json:"license"`
	Insns     int         `json:"insns"` // instructions; a wide one counts once
	Slots     int         `json:"slots"`
	Functions []funcEntry `json:"functions"`
	Relocs    []refEntry  `json:"relocs"`
	Core      []coreEntry `json:"core"`
	Lines     []lineEntry `json:"lines"`
}

type funcEntry struct {
	Name   string `json:"name"`
	Slot   int    `json:"slot"`
	Global bool   `json:"global"`
}

type refEntry struct {
	Slot   int    `json:"slot"`
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Offset uint32 `json:"offset,omitempty"`
	Weak   bool   `json:"weak,omitempty"`
}

type coreEntry struct {
	Slot   int    `json:"slot"`
	Kind   string `json:"kind"`
	Type   string `json:"type"`
	Path   string `json:"path"`
	Before uint64 `json:"before"`
	After  uint64 `json:"after"`
	Poison bool   `json:"poison,omitempty"`
	Note   string `json:"note,omitempty"`
}

type lineEntry struct {
	Slot int    `json:"slot"`
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col,omitempty"`
	Text string `json:"text"`
}

type mapEntry struct {
	Object     string   `json:"object"`
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	Section    string   `json:"section"`
	KeySize    uint32   `json:"key_size"`
	ValueSize  uint32   `json:"value_size"`
	MaxEntries uint32   `json:"max_entries"`
	Flags      uint32   `json:"flags"`
	FlagNames  []string `json:"flag_names"`
	KeyType    string   `json:"key_type,omitempty"`   // C
	ValueType  string   `json:"value_type,omitempty"` // C
	Inner      string   `json:"inner,omitempty"`
	Elements   int      `json:"elements"` // initial ones
	// Members are what a struct_ops map has in it.
	Members  []memberEntry `json:"members,omitempty"`
	NoCreate bool          `json:"no_create,omitempty"` // libbpf makes it on request only
}

type memberEntry struct {
	Name    string `json:"name"`
	Offset  uint32 `json:"offset"`
	Type    string `json:"type"` // C
	Program string `json:"program,omitempty"`
	Value   string `json:"value,omitempty"`
	Missing string `json:"missing,omitempty"` // why the kernel's types cannot take it
}

type variableEntry struct {
	Object  string `json:"object"`
	Name    string `json:"name"`
	Map     string `json:"map"`
	Section string `json:"section"`
	Offset  uint64 `json:"offset"`
	Size    uint64 `json:"size"`
	Type    string `json:"type,omitempty"` // C
	Bind    string `json:"bind"`
}

type externEntry struct {
	Object string `json:"object"`
	Name   string `json:"name"`
	Kind   string `json:"kind"` // kconfig, kfunc, ksym, address
	Decl   string `json:"declaration"`
	Weak   bool   `json:"weak"`
	Kernel string `json:"kernel,omitempty"` // "yes" or "no", where known
	Error  string `json:"error,omitempty"`
}

type typeEntry struct {
	Object string `json:"object"`
	Name   string `json:"name,omitempty"` // empty for all types together
	From   string `json:"from"`           // btf, dwarf or kernel
	C      string `json:"c"`
}

type relocEntry struct {
	Object  string `json:"object"`
	Section string `json:"section"`
	Offset  uint64 `json:"offset"`
	Slot    int    `json:"slot"` // -1 in data sections
	Type    string `json:"type"`
	Symbol  string `json:"symbol"`
	Program string `json:"program,omitempty"` // where After is
	Before  string `json:"before,omitempty"`  // the instruction in the object
	After   string `json:"after,omitempty"`   // and in the program
}

func newInspectDoc() inspectDoc {
	return inspectDoc{
		docHead: head("inspect"),
		Objects: []objectEntry{}, Sections: []sectionEntry{}, Symbols: []symbolEntry{},
		Programs: []programEntry{}, Maps: []mapEntry{}, Relocs: []relocEntry{}, Refused: []refusal{},
		Variables: []variableEntry{}, Externs: []externEntry{},
	}
}

// append adds another object's lists.
func (d *inspectDoc) append(o inspectDoc) {
	d.Objects = append(d.Objects, o.Objects...)
	d.Sections = append(d.Sections, o.Sections...)
	d.Symbols = append(d.Symbols, o.Symbols...)
	d.Programs = append(d.Programs, o.Programs...)
	d.Maps = append(d.Maps, o.Maps...)
	d.Relocs = append(d.Relocs, o.Relocs...)
	d.Variables = append(d.Variables, o.Variables...)
	d.Externs = append(d.Externs, o.Externs...)
	d.Types = append(d.Types, o.Types...)
}

// describe takes an object down; only restricts the programs to one.
func describe(o *object, only string) inspectDoc {
	d := newInspectDoc()
	path := display(o.path)
	info := o.info()
	e := objectEntry{
		Object: path, Size: o.file.Header.TotalSize, Machine: int(o.file.Header.Machine),
		License: o.coll.License, VersionCode: o.coll.Version, BTF: len(o.coll.BTF) > 0,
	}
	if v := o.coll.Version; v != 0 {
		e.Kernel = fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff)
	}
	for i := 1; i < len(o.file.Sections); i++ {
		s := &o.file.Sections[i]
		d.Sections = append(d.Sections, sectionEntry{path, s.Index, s.Name, s.TypeName(), s.Offset, s.Size,
			s.Link, s.Info, s.Flags, s.FlagNames()})
	}
	for _, r := range info.Relocs {
		e := relocEntry{Object: path, Section: r.Section, Offset: r.Off, Slot: -1, Type: r.Type, Symbol: r.Symbol,
			Program: r.Program, Before: r.Before.Text, After: r.After.Text}
		if s := o.file.Section(r.Section); s != nil && s.Exec() {
			e.Slot = int(r.Off / isa.SlotSize)
		}
		d.Relocs = append(d.Relocs, e)
	}
	for i := 1; i < len(o.file.Symbols); i++ {
		s := &o.file.Symbols[i]
		d.Symbols = append(d.Symbols, symbolEntry{path, s.Index, s.Name, s.TypeName(), s.BindName(),
			sectionName(o.file, s), s.Value, s.Size})
	}
	for _, p := range o.coll.Programs {
		e.LineInfo = e.LineInfo || len(p.Lines) > 0
		if only == "" || p.Name == only {
			d.Programs = append(d.Programs, describeProgram(p, path))
		}
	}
	for i, m := range o.coll.Maps {
		me := mapEntry{
			Object: path, Name: m.Name, Type: m.Type.String(), Section: m.Section, KeySize: m.KeySize,
			ValueSize: m.ValueSize, MaxEntries: m.MaxEntries, Flags: uint32(m.Flags), FlagNames: mapFlagNames(m),
			Elements: len(m.Contents), NoCreate: m.NoCreate,
		}
		if i < len(info.Maps) {
			me.KeyType, me.ValueType = info.Maps[i].KeyType, info.Maps[i].ValueType
			for _, op := range info.Maps[i].Ops {
				me.Members = append(me.Members, memberEntry{op.Member, op.Off, op.Type, op.Program, op.Value, op.Missing})
			}
		}
		if m.Inner != nil {
			me.Inner = m.Inner.Name
		}
		d.Maps = append(d.Maps, me)
	}
	for _, v := range info.Variables {
		d.Variables = append(d.Variables, variableEntry{path, v.Name, v.Map, v.Section, v.Off, v.Size, v.Type, v.Bind})
	}
	for _, x := range info.Externs {
		d.Externs = append(d.Externs, externEntry{path, x.Name, x.Kind, x.Decl, x.Weak, x.Kernel, x.Error})
	}
	d.Objects = append(d.Objects, e)
	return d
}

func describeProgram(p *spec.ProgramSpec, path string) programEntry {
	e := programEntry{
		Object: path, Name: p.Name, Section: p.Section, Type: p.Type.String(), AttachTo: p.AttachTo,
		Attach: attachName(p), License: p.License, Slots: len(p.Insns),
		Functions: []funcEntry{}, Relocs: []refEntry{}, Core: []coreEntry{}, Lines: []lineEntry{},
	}
	e.NoLoad = strings.HasPrefix(p.Section, "?")
	if rule, to, ok := spec.MatchSection(p.Section); ok {
		target, err := rule.Target(to)
		e.Auto = err == nil && target.Auto && !e.NoLoad
	}
	for range p.Insns.All() {
		e.Insns++
	}
	for _, f := range p.Funcs {
		e.Functions = append(e.Functions, funcEntry{f.Name, int(f.PC), f.Global})
	}
	for _, r := range p.Refs {
		e.Relocs = append(e.Relocs, refEntry{int(r.PC), refKindName(r.Kind), r.Name, r.Off, r.Weak})
	}
	for _, c := range p.Core {
		e.Core = append(e.Core, coreEntry{int(c.PC), c.Kind, c.Type, c.Path, c.Before, c.After, c.Poison, c.Note})
	}
	for _, l := range p.Lines {
		e.Lines = append(e.Lines, lineEntry{int(l.PC), l.File, l.Line, l.Col, l.Text})
	}
	return e
}

func refKindName(k spec.RefKind) string {
	switch k {
	case spec.RefMap:
		return "map"
	case spec.RefMapValue:
		return "map_value"
	case spec.RefKfunc:
		return "kfunc"
	case spec.RefKsym:
		return "ksym"
	}
	return fmt.Sprint(uint8(k))
}

func sectionName(f *elf.File, s *elf.Symbol) string {
	if sec := sectionOf(f, s); sec != nil {
		return sec.Name
	}
	switch s.Section {
	case 0:
		return "UND"
	case 0xfff1:
		return "ABS"
	case 0xfff2:
		return "COM"
	}
	return fmt.Sprintf("%#x", s.Section)
}

// mapFlagNames names the flags as bpftool does, without "BPF_F_".
func mapFlagNames(m *spec.MapSpec) []string {
	names := []string{}
	if m.Flags != 0 {
		for n := range strings.SplitSeq(m.Flags.String(), "|") {
			names = append(names, strings.ToLower(strings.TrimPrefix(n, "BPF_F_")))
		}
	}
	if m.Frozen {
		names = append(names, "frozen")
	}
	return names
}

// attachName is the attach type, where the program type looks at it.
func attachName(p *spec.ProgramSpec) string {
	if rule, _, ok := spec.MatchSection(p.Section); p.Attach == 0 && (!ok || !rule.AttachRequired) {
		return ""
	}
	return p.Attach.String()
}
