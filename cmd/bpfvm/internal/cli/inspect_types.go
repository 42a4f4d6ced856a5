package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// allTypes is the value of --btf without a type.
const allTypes = "*"

// splitBTF tells the types that --btf asks for from the kernel types that it names.
// A type's name has neither slash nor dot, so that both can be said with the one
// flag, and with two of them at once.
func (a *app) splitBTF(f *inspectFlags, args []string) error {
	for _, v := range f.btf {
		switch {
		case v == wordHost || strings.ContainsAny(v, `/\.`):
			if a.flags.btf != "" && a.flags.btf != v {
				return usageErr("--btf names kernel types twice: %s and %s", a.flags.btf, v)
			}
			a.flags.btf = v
		case v == "":
			return usageErr("--btf=: want a type, or a file of kernel types")
		default:
			f.types = append(f.types, v)
		}
	}
	if len(args) == 2 {
		if len(f.btf) > 0 {
			return usageErr("one FILE at a time; kernel types are --btf=host or --btf=./FILE, with an equals sign")
		}
		return usageErr("inspect: one operand too many: %q", args[1])
	}
	return nil
}

// typeSource is where types come from.
type typeSource struct {
	list []btf.Type
	spec *btf.Spec // nil for DWARF
	from string    // btf, dwarf, kernel
}

// typesOf returns the types of an object: its BTF, or its debugging information.
func (a *app) typesOf(o *object) (*typeSource, error) {
	s, err := o.objectTypes()
	if err != nil && o.file.Section(".BTF") == nil && o.file.HasDWARF() {
		list, err := o.file.DWARFTypes()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", display(o.path), err)
		}
		return &typeSource{list: list, from: "dwarf"}, nil
	}
	if err != nil {
		return nil, err
	}
	return specSource(s, "btf")
}

func specSource(s *btf.Spec, from string) (*typeSource, error) {
	src := &typeSource{spec: s, from: from}
	for t, err := range s.All() {
		if err != nil {
			return nil, err
		}
		src.list = append(src.list, t)
	}
	return src, nil
}

// find returns the type of a name, or nil.
func (s *typeSource) find(name string) btf.Type {
	if s.spec != nil {
		t, err := types.TypeByName(s.spec, name)
		if err != nil {
			return nil
		}
		return t
	}
	bare := bareName(name)
	var found btf.Type
	for _, t := range s.list {
		if t.TypeName() != bare {
			continue
		}
		if _, ok := t.(*btf.Fwd); !ok {
			return t
		}
		found = t
	}
	return found
}

// bareName cuts C's keyword off a type's name.
func bareName(name string) string {
	for _, kind := range []string{"struct ", "union ", "enum "} {
		name = strings.TrimPrefix(name, kind)
	}
	return name
}

// text writes a type as C, or all.
func (s *typeSource) text(t btf.Type) (string, error) {
	if t != nil {
		return strings.TrimRight(types.Define(t, true), "\n") + "\n", nil
	}
	var b strings.Builder
	if err := types.Dump(&b, s.list); err != nil {
		return "", err
	}
	return b.String(), nil
}

// typeEntries answers --btf for one source: the object's own types or, where it
// has none of the name, the kernel's.
func (a *app) typeEntries(o *object, names []string) ([]typeEntry, error) {
	src, err := a.typesOf(o)
	if err != nil {
		return nil, err
	}
	return a.lookUpTypes(display(o.path), src, names, true)
}

func (a *app) lookUpTypes(path string, src *typeSource, names []string, orKernel bool) ([]typeEntry, error) {
	var out []typeEntry
	for _, name := range names {
		e := typeEntry{Object: path, Name: name, From: src.from}
		var t btf.Type
		if name == allTypes {
			e.Name = ""
		} else if t = src.find(name); t == nil && orKernel {
			if target, err := a.targetBTF(); err != nil {
				return nil, err
			} else if kt, err := types.TypeByName(target, name); err == nil {
				t, e.From = kt, "kernel"
			}
		}
		if name != allTypes && t == nil {
			return nil, a.noType(path, src, name)
		}
		var err error
		if e.C, err = src.text(t); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// noType words that there is no type of a name.
func (a *app) noType(path string, src *typeSource, name string) error {
	if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
		return inputErr("%s: no type %q; for the file of that name write --btf=./%s", path, name, name)
	}
	var names []string
	for _, t := range src.list {
		if n := t.TypeName(); n != "" {
			names = append(names, n)
		}
	}
	return inputErr("%s: no type %q%s", path, name, didYouMean(bareName(name), names))
}

// writeTypes prints what --btf asks for.
func (a *app) writeTypes(o *object, names []string) error {
	list, err := a.typeEntries(o, names)
	if err != nil {
		return err
	}
	a.printTypes(a.out, list)
	return nil
}

func (a *app) printTypes(w io.Writer, list []typeEntry) {
	for i, e := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		switch e.From {
		case "dwarf":
			fmt.Fprintln(w, "/* from DWARF: the object has no BTF */")
		case "kernel":
			kernel := "Linux " + targetKernel
			if a.flags.btf != "" {
				kernel = a.flags.btf
			}
			fmt.Fprintf(w, "/* not in the object; in the kernel's types (%s): */\n", kernel)
		}
		io.WriteString(w, e.C)
	}
}

// readBTF reads a file that is BTF without an object around it.
func (a *app) readBTF(path string) (raw []byte, ok bool, err error) {
	if path == "-" || isDir(path) {
		return nil, false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, nil // said when it is opened as an object
	}
	defer f.Close()
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil || !bytes.Equal(magic[:3], []byte{0x9f, 0xeb, 1}) {
		return nil, false, nil
	}
	raw, err = a.readInput(path)
	return raw, err == nil, err
}

// inspectBTF shows a file of types: how many of each kind, or those asked for.
func (a *app) inspectBTF(path string, raw []byte, f inspectFlags) error {
	spec, err := types.Load(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", display(path), err)
	}
	src, err := specSource(spec, "btf")
	if err != nil {
		return fmt.Errorf("%s: %w", display(path), err)
	}
	list, err := a.lookUpTypes(display(path), src, f.types, false)
	if err != nil {
		return err
	}
	if a.jsonWanted() {
		doc := newInspectDoc()
		doc.Objects = append(doc.Objects, objectEntry{Object: display(path), Size: int64(len(raw)), BTF: true})
		doc.Types, doc.Summary.Objects = list, 1
		a.writeJSON(doc)
		return nil
	}
	if len(f.types) == 0 {
		fmt.Fprintf(a.out, "%s\n%d bytes  %s\n\n", a.style.head(display(path)), len(raw), plural(len(src.list), "type"))
		a.writeKinds(src.list)
		a.suggest(path, "bpfvm inspect "+display(path)+" --btf=task_struct")
		return nil
	}
	a.printTypes(a.out, list)
	return nil
}

// writeKinds counts types by kind.
func (a *app) writeKinds(list []btf.Type) {
	counts := make(map[string]int)
	for _, t := range list {
		counts[strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", t), "*btf."))]++
	}
	t := newTable("KIND", ">TYPES")
	t.paint(0, a.style.name)
	for _, kind := range []string{"struct", "union", "enum", "typedef", "int", "float", "pointer", "array", "fwd", "const",
		"volatile", "restrict", "func", "funcproto", "var", "datasec", "typetag"} {
		if n := counts[kind]; n > 0 {
			t.add(kind, n)
		}
	}
	t.write(a.out, a, "")
}
