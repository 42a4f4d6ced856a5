package elf

import (
	"cmp"
	delf "debug/elf"
	"errors"
	"slices"

	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// VariableInfo is a variable of the object: its place in the map that holds its
// section, which is an array of one element or an arena.
type VariableInfo struct {
	Name    string `json:"name"`
	Map     string `json:"map"`
	Section string `json:"section"`
	Off     uint64 `json:"offset"`
	Size    uint64 `json:"size"`
	Type    string `json:"type,omitempty"` // C; empty without BTF
	Bind    string `json:"bind"`           // "GLOBAL"
}

// ExternInfo is what the object expects the kernel to provide.
type ExternInfo struct {
	Name string `json:"name"`
	// Kind is "kconfig" for a variable of the kernel's configuration, "kfunc",
	// "ksym" for a kernel variable with a type, "address" for a symbol without one.
	Kind string `json:"kind"`
	Decl string `json:"declaration"` // C
	Weak bool   `json:"weak"`        // may be missing
	// Kernel says whether the kernel at hand has it, where its types tell:
	// "yes", "no" or "" for not known.
	Kernel string `json:"kernel,omitempty"`
	Error  string `json:"error,omitempty"`
}

// describeVariables lists the variables of all data sections, by place.
func (l *loader) describeVariables(info *Info) {
	info.Variables = []VariableInfo{}
	typed := make(map[int]map[string]btf.Type) // by section and name
	for i := range l.f.Symbols {
		s := &l.f.Symbols[i]
		kind := l.kindOf(s.Section)
		if s.isSection() || s.Name == "" || kind != secData && kind != secArena ||
			s.Type != uint8(delf.STT_OBJECT) && s.Type != uint8(delf.STT_NOTYPE) {
			continue
		}
		m := l.maps[mapKey{s.Section, 0}]
		if m == nil {
			continue
		}
		sec := &l.f.Sections[s.Section]
		known, ok := typed[s.Section]
		if !ok {
			known = make(map[string]btf.Type)
			if ds := l.datasec(sec.Name); ds != nil {
				for _, v := range ds.Vars {
					if v, ok := v.Type.(*btf.Var); ok {
						known[v.Name] = v.Type
					}
				}
			}
			typed[s.Section] = known
		}
		v := VariableInfo{Name: s.Name, Map: m.Name, Section: sec.Name, Off: s.Value, Size: s.Size, Bind: s.BindName()}
		if t := known[s.Name]; t != nil && l.b.take("variables", 1, 256) == nil {
			v.Type = shortText(types.Declare(t, ""))
		}
		info.Variables = append(info.Variables, v)
	}
	slices.SortStableFunc(info.Variables, func(a, b VariableInfo) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Off, b.Off), cmp.Compare(a.Name, b.Name))
	})
}

// maxDeclText bounds the C text of one type: unnamed structures are written out.
const maxDeclText = 1024

func shortText(s string) string {
	if len(s) > maxDeclText {
		return s[:maxDeclText] + "..."
	}
	return s
}

// describeExterns lists what the kernel is to provide.
func (l *loader) describeExterns(info *Info) {
	info.Externs = []ExternInfo{}
	for i := range l.f.Symbols {
		e := l.externs[i]
		if e == nil || e.typ == nil {
			continue // undefined, and refused where it is used
		}
		out := ExternInfo{Name: e.sym.Name, Weak: e.sym.Weak()}
		switch t := e.typ.(type) {
		case *btf.Func:
			out.Kind, out.Decl = "kfunc", shortText(types.Declare(t.Type, t.Name))
			found, err := l.findKfunc(t)
			out.Kernel = map[bool]string{true: "yes", false: "no"}[found]
			if err != nil {
				out.Error = err.Error()
			}
		default:
			out.Decl = shortText(types.Declare(t, e.sym.Name))
			out.Kind = map[externKind]string{externKconfig: "kconfig", externKsym: "ksym", externKsymAddr: "address"}[e.kind]
		}
		if e.err != nil {
			out.Error = e.err.Error()
		}
		info.Externs = append(info.Externs, out)
	}
}

// findKfunc looks a kernel function up in the target's types. The error says how its
// prototype differs from the one that the object declares (libbpf.c,
// bpf_object__resolve_ksym_func_btf_id).
func (l *loader) findKfunc(fn *btf.Func) (bool, error) {
	target, err := l.target()
	if err != nil {
		return false, err
	}
	var kernel *btf.Func
	if err := target.TypeByName(types.EssentialName(fn.Name), &kernel); err != nil {
		if errors.Is(err, btf.ErrNotFound) {
			err = nil
		}
		return false, err
	}
	c := &coreResolver{steps: maxCoreSteps}
	if err := c.typesCompatible(fn.Type, kernel.Type, maxMatchDepth); err != nil {
		return true, err
	}
	return true, nil
}

// OpInfo is a member of a struct_ops map: the program in it, or its value.
type OpInfo struct {
	Member  string `json:"member"`
	Off     uint32 `json:"offset"`
	Type    string `json:"type"` // C
	Program string `json:"program,omitempty"`
	Value   string `json:"value,omitempty"` // of members that are not zero
	// Missing is why the kernel at hand cannot take the member.
	Missing string `json:"missing,omitempty"`
}

// kernelOps returns the members of the kernel's structure that a struct_ops map of
// the type fills, or says why there is none: a structure is one for programs if the
// kernel has a bpf_struct_ops_NAME around it (libbpf.c, find_struct_ops_kern_types).
func (l *loader) kernelOps(st *btf.Struct) (map[string]btf.Type, string) {
	name := types.EssentialName(st.Name)
	target, err := l.target()
	if err != nil {
		return nil, err.Error()
	}
	if _, err := types.TypeByName(target, "struct bpf_struct_ops_"+name); err != nil {
		return nil, "the kernel's types have no struct bpf_struct_ops_" + shortName(name)
	}
	t, err := types.TypeByName(target, "struct "+name)
	if err != nil {
		return nil, "the kernel's types have no struct " + shortName(name)
	}
	have := make(map[string]btf.Type)
	mems, _ := members(t)
	for _, m := range mems {
		have[m.Name] = m.Type
	}
	return have, ""
}

// describeOps lists the members of a struct_ops map that have something in them.
func (l *loader) describeOps(m *spec.MapSpec) []OpInfo {
	if m.Type != spec.MapStructOps || l.bt == nil || len(m.Contents) != 1 {
		return nil
	}
	t, err := l.bt.spec.TypeByID(btf.TypeID(m.ValueTypeID))
	st, ok := t.(*btf.Struct)
	if err != nil || !ok {
		return nil
	}
	progs := make(map[uint32]string, len(m.Ops))
	for _, op := range m.Ops {
		progs[op.Off] = op.Program
	}
	value := m.Contents[0].Value
	kernel, missing := l.kernelOps(st)
	out := []OpInfo{}
	for i := range st.Members {
		mem := &st.Members[i]
		off := mem.Offset.Bytes()
		op := OpInfo{Member: mem.Name, Off: off, Program: progs[off]}
		if size := l.sizeof(mem.Type); op.Program == "" && uint64(off)+uint64(size) <= uint64(len(value)) {
			bytes := value[off : off+size]
			if !slices.ContainsFunc(bytes, func(b byte) bool { return b != 0 }) {
				continue
			}
			if text, err := types.Text(mem.Type, bytes); err == nil {
				op.Value = shortText(text)
			} else {
				op.Value = types.TextRaw(bytes)
			}
		}
		if l.b.take("members", 1, 256) != nil {
			break
		}
		op.Type, op.Missing = shortText(types.Declare(mem.Type, "")), missing
		if theirs, ok := kernel[mem.Name]; !ok && missing == "" {
			op.Missing = "the kernel's struct " + shortName(types.EssentialName(st.Name)) + " has no member " + shortName(mem.Name)
		} else if ok && !sameKind(btf.UnderlyingType(theirs), btf.UnderlyingType(mem.Type)) {
			op.Missing = "the kernel's member is " + typeText(theirs)
		}
		out = append(out, op)
	}
	return out
}
