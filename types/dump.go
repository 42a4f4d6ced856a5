package types

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cilium/ebpf/btf"
)

const (
	// maxDump bounds what Dump writes. The types of a whole kernel take 4 MiB.
	maxDump = 64 << 20
	// maxDumpDepth bounds how far one type may need another that needs another.
	// In the kernel's own types that goes below 100.
	maxDumpDepth = 1000
)

// ErrTooLarge is wrapped by errors about types whose text would not end.
var ErrTooLarge = errors.New("types expand to too much text")

// Dump writes types as a C header that a compiler takes, and whose structs come
// out as large as the types say and with every member in its place: each type
// after those that it is made of, with forward declarations where pointers go in
// circles, with padding and packing where C alone would lay a struct out
// otherwise. Then come declarations of functions and variables.
//
// Two types of one name are told apart by a suffix, "foo___2". Names that C does
// not take (of other languages, or of clones that gcc makes) are changed.
//
// The order is that of the list. Types that listed ones need are written too.
func Dump(w io.Writer, list []btf.Type) error {
	return newDumper(w).run(list)
}

func newDumper(w io.Writer) *dumper {
	return &dumper{
		w: bufio.NewWriter(w), state: make(map[btf.Type]dumpState), named: make(map[btf.Type]string), forwarded: make(map[string]bool), met: make(map[metType]bool),
		tags: make(names), idents: names{"__builtin_va_list": 1}, // which is the compiler's own
		enums:  make(map[*btf.Enum]bool),
		layout: cLayout{known: make(map[btf.Type]cAlign)},
	}
}

func (d *dumper) run(list []btf.Type) error {
	for _, t := range list {
		if err := d.need(t, true, 0); err != nil {
			return err
		}
	}
	placed := make(map[btf.Type]bool) // variables that a section lists
	for _, t := range list {
		if ds, ok := t.(*btf.Datasec); ok {
			for _, v := range ds.Vars {
				placed[v.Type] = true
			}
		}
	}
	for _, t := range list {
		if placed[t] {
			continue
		}
		if err := d.object(t); err != nil {
			return err
		}
	}
	return d.w.Flush()
}

// DumpSpec is Dump of everything in a BTF.
func DumpSpec(w io.Writer, spec *btf.Spec) error {
	var list []btf.Type
	for t, err := range spec.All() {
		if err != nil {
			return err
		}
		list = append(list, t)
	}
	return Dump(w, list)
}

// dumpState is how far a type's definition is.
type dumpState uint8

const (
	dumpNone dumpState = iota
	dumpBegun
	dumpDone
)

// metType is a type with what it was needed for.
type metType struct {
	t        btf.Type
	complete bool
}

type dumper struct {
	w         *bufio.Writer
	written   int
	state     map[btf.Type]dumpState
	named     map[btf.Type]string
	forwarded map[string]bool  // "struct foo"
	met       map[metType]bool // pointers, arrays and qualifiers that need nothing more
	tags      names            // of structs, unions and enums
	idents    names            // of typedefs, enumerators, functions and variables
	enums     map[*btf.Enum]bool
	layout    cLayout
	cut       bool // a definition is not whole
}

// name returns a type's name in the text, one for each type.
func (d *dumper) name(t btf.Type) string {
	if n, ok := d.named[t]; ok {
		return n
	}
	n := cIdent(t.TypeName())
	switch t.(type) {
	case *btf.Typedef, *btf.Func, *btf.Var:
		n = d.idents.take(n)
	case *btf.Fwd:
		// The same as the struct that it announces.
	default:
		n = d.tags.take(n)
	}
	d.named[t] = n
	return n
}

// enumerator returns the name of a constant.
func (d *dumper) enumerator(name string) string { return d.idents.take(cIdent(name)) }

// inline reports whether an unnamed enum is to be written where it is used, which
// is at its first use: its constants can be defined once only.
func (d *dumper) inline(t *btf.Enum) bool {
	first := !d.enums[t]
	d.enums[t] = true
	return first
}

// need writes what a declaration with the type needs before it. A complete type is
// one whose size is known; pointers do without.
func (d *dumper) need(t btf.Type, complete bool, depth int) error {
	if depth > maxDumpDepth {
		return fmt.Errorf("types need each other more than %d deep: %w", maxDumpDepth, ErrTooLarge)
	}
	for range maxChain {
		if d.met[metType{t, complete}] {
			return nil // many declarations end in the same long chain
		}
		switch t.(type) {
		case *btf.Const, *btf.Volatile, *btf.Restrict, *btf.TypeTag, *btf.Pointer, *btf.Array:
			d.met[metType{t, complete}] = true
		}
		switch q := t.(type) {
		case *btf.Const:
			t = q.Type
		case *btf.Volatile:
			t = q.Type
		case *btf.Restrict:
			t = q.Type
		case *btf.TypeTag:
			t = q.Type
		case *btf.Pointer:
			t, complete = q.Target, false
		case *btf.Array:
			t, complete = q.Type, true // also behind a pointer
		default:
			return d.needBase(t, complete, depth)
		}
	}
	return fmt.Errorf("a declaration of more than %d parts: %w", maxChain, ErrTooLarge)
}

func (d *dumper) needBase(t btf.Type, complete bool, depth int) error {
	switch t := t.(type) {
	case *btf.Struct:
		return d.needComposite(t, "struct", t.Name, t.Members, complete, depth)
	case *btf.Union:
		return d.needComposite(t, "union", t.Name, t.Members, complete, depth)
	case *btf.Fwd:
		return d.forward(t.Kind.String(), t)
	case *btf.Enum:
		if d.state[t] != dumpNone {
			return nil
		}
		if t.Name == "" {
			if depth > 0 || d.enums[t] {
				return nil // where it is used
			}
			d.enums[t] = true
		}
		d.state[t] = dumpDone
		switch {
		case len(t.Values) > 0:
		case t.Size == 0: // the declaration of an enum that is elsewhere
			return d.put("enum " + d.name(t) + ";\n\n")
		default:
			return d.put("enum " + d.name(t) + " { " + d.enumerator(t.Name+"__none") + " }" + enumMode(t) + ";\n\n") // C has no empty ones
		}
		return d.define(t)
	case *btf.Typedef:
		if d.state[t] == dumpNone {
			d.state[t] = dumpBegun
			if err := d.need(t.Type, false, depth+1); err != nil {
				return err
			}
			d.state[t] = dumpDone
			if err := d.define(t); err != nil {
				return err
			}
		}
		if complete {
			return d.need(t.Type, true, depth+1)
		}
	case *btf.FuncProto:
		for _, p := range t.Params {
			if err := d.need(p.Type, false, depth+1); err != nil {
				return err
			}
		}
		return d.need(t.Return, false, depth+1)
	case *btf.Func:
		return d.need(t.Type, false, depth+1)
	case *btf.Var:
		return d.need(t.Type, false, depth+1)
	case *btf.Datasec:
		for _, v := range t.Vars {
			if err := d.need(v.Type, false, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// needComposite writes a struct or union, or announces it.
func (d *dumper) needComposite(t btf.Type, keyword, name string, list []btf.Member, complete bool, depth int) error {
	if name != "" {
		if d.state[t] == dumpDone {
			return nil
		}
		if !complete || d.state[t] == dumpBegun {
			return d.forward(keyword, t)
		}
	} else if depth == 0 || d.state[t] != dumpNone {
		return nil // part of another type, and written with it
	}
	d.state[t] = dumpBegun
	for i := range list {
		if err := d.need(list[i].Type, true, depth+1); err != nil {
			return err
		}
	}
	d.state[t] = dumpDone
	if name == "" {
		return nil
	}
	return d.define(t)
}

// forward announces a struct or union.
func (d *dumper) forward(keyword string, t btf.Type) error {
	text := keyword + " " + d.name(t)
	if d.forwarded[text] {
		return nil
	}
	d.forwarded[text] = true
	return d.put(text + ";\n\n")
}

// define writes a definition.
func (d *dumper) define(t btf.Type) error {
	p := cPrinter{d: d}
	switch t := t.(type) {
	case *btf.Struct:
		p.composite(t, t.Name, t.Members, t.Size, 0, 0)
	case *btf.Union:
		p.composite(t, t.Name, t.Members, t.Size, 0, 0)
	case *btf.Enum:
		p.enum(t, t.Name, 0)
	case *btf.Typedef:
		p.put("typedef ")
		p.declare(t.Type, d.name(t), 0, 0)
	}
	if d.cut {
		return fmt.Errorf("%.64s: members nested more than %d deep: %w", t.TypeName(), maxNest, ErrTooLarge)
	}
	if p.Len() >= maxText {
		return fmt.Errorf("%.64s: a definition of more than %d bytes: %w", t.TypeName(), maxText, ErrTooLarge)
	}
	return d.put(p.String() + ";\n\n")
}

// object declares a function, or the variables of a section.
func (d *dumper) object(t btf.Type) error {
	p := cPrinter{d: d}
	switch t := t.(type) {
	case *btf.Func:
		if t.Name == "" {
			return nil // bpf-gcc 12 leaves some without
		}
		if t.Linkage == btf.StaticFunc {
			p.put("static ")
		}
		p.declare(t.Type, d.name(t), 0, 0)
		p.put(";\n")
	case *btf.Datasec:
		if err := d.put("\n/* section " + strings.ReplaceAll(t.Name, "*/", "") + " */\n"); err != nil {
			return err
		}
		for _, v := range t.Vars {
			if err := d.object(v.Type); err != nil {
				return err
			}
		}
	case *btf.Var:
		p.put("extern ")
		p.declare(t.Type, d.name(t), 0, 0)
		p.put(";\n")
	}
	return d.put(p.String())
}

func (d *dumper) put(text string) error {
	if d.written += len(text); d.written > maxDump {
		return fmt.Errorf("more than %d bytes: %w", maxDump, ErrTooLarge)
	}
	_, err := d.w.WriteString(text)
	return err
}
