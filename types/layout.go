package types

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Errors about names that a BTF does not have.
var (
	ErrNoType  = errors.New("no such type")
	ErrNoField = errors.New("no such field")
)

// maxNest bounds how deep types may nest by value, and how many typedefs and
// qualifiers may follow each other; the kernel resolves as many
// (kernel/bpf/btf.c, MAX_RESOLVE_DEPTH).
const maxNest = 32

// TypeByName finds a type by its C name: "task_struct", "struct task_struct",
// "enum pid_type", "u32". Without a keyword structures and unions come first,
// then enums, typedefs and the rest.
func TypeByName(spec *btf.Spec, name string) (btf.Type, error) {
	keyword, bare, found := strings.Cut(strings.TrimSpace(name), " ")
	if !found || keyword != "struct" && keyword != "union" && keyword != "enum" {
		keyword, bare = "", strings.TrimSpace(name)
	}
	all, err := exactly(spec, bare)
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", name, err)
	}
	var best btf.Type
	bestRank := len(ranks)
	for _, t := range all {
		for rank, fits := range ranks {
			if rank < bestRank && fits.is(t) && (keyword == "" || keyword == fits.keyword) {
				best, bestRank = t, rank
			}
		}
	}
	if best == nil {
		return nil, fmt.Errorf("type %q: %w", name, ErrNoType)
	}
	return best, nil
}

// ranks orders kinds of types that can have the same name.
var ranks = []struct {
	keyword string
	is      func(btf.Type) bool
}{
	{"struct", isA[*btf.Struct]},
	{"union", isA[*btf.Union]},
	{"enum", isA[*btf.Enum]},
	{"", isA[*btf.Typedef]},
	{"", func(btf.Type) bool { return true }},
}

func isA[T btf.Type](t btf.Type) bool { _, ok := t.(T); return ok }

// strip removes typedefs, qualifiers and tags. Chains that are too long, and
// loops of typedefs, give nil.
func strip(t btf.Type) btf.Type {
	for range maxNest {
		switch q := t.(type) {
		case *btf.Typedef:
			t = q.Type
		case *btf.Const:
			t = q.Type
		case *btf.Volatile:
			t = q.Type
		case *btf.Restrict:
			t = q.Type
		case *btf.TypeTag:
			t = q.Type
		default:
			return t
		}
	}
	return nil
}

// members returns the members and the size of a struct or union.
func members(t btf.Type) (m []btf.Member, size uint32, ok bool) {
	switch t := strip(t).(type) {
	case *btf.Struct:
		return t.Members, t.Size, true
	case *btf.Union:
		return t.Members, t.Size, true
	}
	return nil, 0, false
}

// sizeOf returns the size of a type in bytes.
func sizeOf(t btf.Type) (uint32, error) {
	n, err := btf.Sizeof(t)
	if err != nil {
		return 0, err
	}
	if n < 0 || int64(n) > 1<<31 {
		return 0, fmt.Errorf("a size of %d bytes", n)
	}
	return uint32(n), nil
}

// Field is one field of a structure in memory.
type Field struct {
	Name   string // "pid"; with dots where it is inside an anonymous member's named one
	Type   btf.Type
	Off    uint32 // bytes from the start of the structure
	Size   uint32 // bytes; of the storage that holds it when it is a bitfield
	BitOff uint32 // bitfields: bits from Off, the lowest bit first
	Bits   uint32 // bitfields: width; else 0
}

// StructLayout returns the fields of a struct or union in memory order as the
// compiler listed them. Anonymous structs and unions are replaced by their
// fields, as C does when it looks a name up.
func StructLayout(spec *btf.Spec, name string) ([]Field, error) {
	t, err := TypeByName(spec, name)
	if err != nil {
		return nil, err
	}
	return Fields(t)
}

// Fields is StructLayout for a type at hand.
func Fields(t btf.Type) ([]Field, error) {
	if _, _, ok := members(t); !ok {
		return nil, fmt.Errorf("%s is not a struct or union", Declare(t, ""))
	}
	var c fieldCollector
	if err := c.add(t, 0, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", Declare(t, ""), err)
	}
	return c.fields, nil
}

// maxFields bounds the members of one structure, against anonymous ones that
// multiply each other.
const maxFields = 1 << 16

// fieldCollector gathers the fields of a structure.
type fieldCollector struct {
	fields []Field
	visits int
}

func (c *fieldCollector) add(t btf.Type, base uint32, depth int) error {
	if depth > maxNest {
		return errors.New("members nest too deep")
	}
	list, _, _ := members(t)
	for i := range list {
		m := &list[i]
		if c.visits++; c.visits > maxFields {
			return errors.New("too many fields")
		}
		if m.Name == "" {
			if _, _, ok := members(m.Type); ok {
				if err := c.add(m.Type, base+uint32(m.Offset/8), depth+1); err != nil {
					return err
				}
			}
			continue // otherwise padding: an unnamed bitfield
		}
		f, err := fieldOf(m, base)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		c.fields = append(c.fields, f)
	}
	return nil
}

// fieldOf places a member. A bitfield's storage is the naturally aligned unit of
// its declared type that holds all its bits, as libbpf reads it.
func fieldOf(m *btf.Member, base uint32) (Field, error) {
	size, err := sizeOf(m.Type)
	if err != nil {
		return Field{}, err
	}
	f := Field{Name: m.Name, Type: m.Type, Off: base + uint32(m.Offset/8), Size: size}
	if m.BitfieldSize == 0 {
		return f, nil
	}
	f.Bits = uint32(m.BitfieldSize)
	bit := uint32(m.Offset)
	if size == 0 || f.Bits > size*8 {
		return Field{}, fmt.Errorf("a bitfield of %d bits in %d bytes", f.Bits, size)
	}
	start := bit / (size * 8) * size
	if bit-start*8+f.Bits > size*8 { // packed across two units: start at its byte
		start = bit / 8
		f.Size = (bit%8 + f.Bits + 7) / 8
	}
	f.Off, f.BitOff = base+start, bit-start*8
	return f, nil
}

// FieldOffset returns where a field lies in a type: its byte offset and size.
// The path may go into structures by value, with dots, and into arrays, with
// indexes: "se.exec_start", "cpus_mask.bits[0]", "comm". Pointers are not
// followed. A bitfield gives an error that wraps errors.ErrUnsupported; use
// FindField for those.
func FieldOffset(spec *btf.Spec, typ, path string) (off, size uint32, err error) {
	f, err := FindField(spec, typ, path)
	if err != nil {
		return 0, 0, err
	}
	if f.Bits != 0 {
		return 0, 0, fmt.Errorf("%s.%s is a bitfield: %w", typ, path, errors.ErrUnsupported)
	}
	return f.Off, f.Size, nil
}

// FindField is FieldOffset with everything that is known about the field.
func FindField(spec *btf.Spec, typ, path string) (Field, error) {
	t, err := TypeByName(spec, typ)
	if err != nil {
		return Field{}, err
	}
	f := Field{Type: t}
	for step := range strings.SplitSeq(path, ".") {
		name, indexes, indexed := strings.Cut(step, "[")
		f, err = findMember(f, name)
		if err != nil {
			return Field{}, fmt.Errorf("%s.%s: %w", typ, path, err)
		}
		for indexed {
			num, rest, ok := strings.Cut(indexes, "]")
			if !ok {
				return Field{}, fmt.Errorf("%s.%s: ']' is missing", typ, path)
			}
			n, err := strconv.ParseUint(num, 0, 32)
			if err != nil {
				return Field{}, fmt.Errorf("%s.%s: index %q is not a number", typ, path, num)
			}
			arr, isArray := strip(f.Type).(*btf.Array)
			if !isArray || n >= uint64(arr.Nelems) {
				return Field{}, fmt.Errorf("%s.%s: no element %d: %w", typ, path, n, ErrNoField)
			}
			size, err := sizeOf(arr.Type)
			if err != nil {
				return Field{}, fmt.Errorf("%s.%s: %w", typ, path, err)
			}
			f = Field{Name: f.Name, Type: arr.Type, Off: f.Off + uint32(n)*size, Size: size}
			indexes, indexed = strings.CutPrefix(rest, "[")
			if rest != "" && !indexed {
				return Field{}, fmt.Errorf("%s.%s: %q after ']'", typ, path, rest)
			}
		}
	}
	f.Name = path
	return f, nil
}

func findMember(in Field, name string) (Field, error) {
	if _, _, ok := members(in.Type); !ok {
		return Field{}, fmt.Errorf("%s is not a struct or union", Declare(in.Type, ""))
	}
	var c fieldCollector
	if err := c.add(in.Type, in.Off, 0); err != nil {
		return Field{}, err
	}
	for _, f := range c.fields {
		if f.Name == name {
			return f, nil
		}
	}
	return Field{}, fmt.Errorf("%q: %w", name, ErrNoField)
}

// Param is an argument of a function or tracepoint.
type Param struct {
	Name string
	Type btf.Type
}

// TracepointArgs returns the arguments that a raw tracepoint gives to programs in
// args[0], args[1] and so on. They are those of the typedef btf_trace_NAME, whose
// first parameter belongs to the tracepoint itself; their names are those of the
// function __bpf_trace_NAME, where the kernel has it.
func TracepointArgs(spec *btf.Spec, name string) ([]Param, error) {
	var td *btf.Typedef
	if err := spec.TypeByName("btf_trace_"+name, &td); err != nil {
		return nil, fmt.Errorf("tracepoint %q: %w", name, ErrNoType)
	}
	ptr, ok := strip(td).(*btf.Pointer)
	if !ok {
		return nil, fmt.Errorf("tracepoint %q: btf_trace_%s is not a pointer", name, name)
	}
	proto, ok := strip(ptr.Target).(*btf.FuncProto)
	if !ok || len(proto.Params) == 0 {
		return nil, fmt.Errorf("tracepoint %q: btf_trace_%s is not a pointer to a function", name, name)
	}
	args := protoParams(proto)[1:]
	// Events of a class share one such function, whose name is the class's.
	if named, _, err := FuncArgs(spec, "__bpf_trace_"+name); err == nil && len(named) == len(args)+1 {
		for i := range args {
			args[i].Name = named[i+1].Name
		}
	}
	return args, nil
}

// FuncArgs returns the arguments and the result type of a function.
func FuncArgs(spec *btf.Spec, name string) (args []Param, ret btf.Type, err error) {
	var fn *btf.Func
	if err := spec.TypeByName(name, &fn); err != nil {
		return nil, nil, fmt.Errorf("function %q: %w", name, ErrNoType)
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok {
		return nil, nil, fmt.Errorf("function %q has no prototype", name)
	}
	return protoParams(proto), proto.Return, nil
}

func protoParams(proto *btf.FuncProto) []Param {
	out := make([]Param, len(proto.Params))
	for i, p := range proto.Params {
		out[i] = Param{p.Name, p.Type}
	}
	return out
}
