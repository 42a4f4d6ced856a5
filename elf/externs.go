package elf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// An extern is something that the kernel provides: a variable of its
// configuration (section .kconfig), a function or a variable of its code
// (section .ksyms). The sections exist in BTF only (libbpf.c,
// bpf_object__collect_externs).
type extern struct {
	sym  *Symbol
	kind externKind
	typ  btf.Type // of the variable, or the *btf.Func

	name string // what the kernel calls it: the symbol's name, flavour cut off
	off  uint32 // kconfig: offset in the map
	err  error  // why it cannot be provided
}

type externKind uint8

const (
	externKconfig  externKind = iota
	externKfunc               // a kernel function
	externKsym                // a kernel variable with a type
	externKsymAddr            // a kernel symbol of type void: only its address
)

const (
	kconfigSection = ".kconfig"
	ksymsSection   = ".ksyms"
)

// DefaultKernelVersion is what LINUX_KERNEL_VERSION reads as: 6.18.0.
const DefaultKernelVersion = 6<<16 | 18<<8

// DefaultKconfig returns the values of configuration variables on the machine
// that we show: x86-64, Linux 6.18, with what BPF programs ask for switched on.
// Any other variable reads as 0 when it is declared weak, as with libbpf, and is
// an error otherwise.
func DefaultKconfig() map[string]string { return maps.Clone(defaultKconfig) }

var defaultKconfig = map[string]string{
	"CONFIG_64BIT":                    "y",
	"CONFIG_BPF":                      "y",
	"CONFIG_BPF_JIT":                  "y",
	"CONFIG_BPF_SYSCALL":              "y",
	"CONFIG_DEFAULT_HOSTNAME":         `"(none)"`,
	"CONFIG_HZ":                       "250",
	"CONFIG_SMP":                      "y",
	"CONFIG_X86_64":                   "y",
	"CONFIG_ARCH_HAS_SYSCALL_WRAPPER": "y",
}

// readExterns finds what each undefined symbol stands for and builds the map
// .kconfig, which holds the values of configuration variables.
func (l *loader) readExterns() {
	decls := make(map[string]extern)
	for _, section := range []string{kconfigSection, ksymsSection} {
		ds := l.datasec(section)
		if ds == nil {
			continue
		}
		for _, vsi := range ds.Vars {
			switch t := vsi.Type.(type) {
			case *btf.Func:
				if section == ksymsSection {
					decls[t.Name] = extern{kind: externKfunc, typ: t}
				}
			case *btf.Var:
				e := extern{kind: externKconfig, typ: t.Type}
				if section == ksymsSection {
					e.kind = externKsym
					if _, ok := btf.UnderlyingType(t.Type).(*btf.Void); ok {
						e.kind = externKsymAddr
					}
				}
				decls[t.Name] = e
			}
		}
	}
	var kconfig []*extern
	for i := range l.f.Symbols {
		sym := &l.f.Symbols[i]
		if !sym.Extern() || sym.Name == "" {
			continue
		}
		e, ok := decls[sym.Name]
		if !ok {
			e = extern{err: fmt.Errorf("BTF declares it in neither %s nor %s, so it must come from another object: %w", kconfigSection, ksymsSection, ErrUndefined)}
			if l.bt == nil {
				e.err = fmt.Errorf("%w: %w", ErrUndefined, l.btErr)
			}
		}
		e.sym, e.name = sym, sym.Name
		if fn, ok := e.typ.(*btf.Func); ok {
			e.name = l.kfuncName(fn)
		}
		l.externs[i] = &e
		if ok && e.kind == externKconfig {
			kconfig = append(kconfig, &e)
		}
	}
	if len(kconfig) > 0 {
		l.buildKconfig(kconfig)
	}
}

// kfuncName returns the kernel's name of a kfunc. A program may declare several
// flavours of one, "f___v1" and "f___v2", for kernels where its parameters
// differ; the one that fits the target loses its suffix and the others keep
// theirs, so that they name nothing (libbpf.c, bpf_object__resolve_ksym_func_btf_id).
func (l *loader) kfuncName(fn *btf.Func) string {
	name := types.EssentialName(fn.Name)
	if name == fn.Name {
		return name
	}
	target, err := l.target()
	var kernel *btf.Func
	if err != nil || target.TypeByName(name, &kernel) != nil {
		return fn.Name
	}
	c := &coreResolver{steps: maxCoreSteps}
	if c.typesCompatible(fn.Type, kernel.Type, maxMatchDepth) != nil {
		return fn.Name
	}
	return name
}

// maxKconfig bounds the map .kconfig; a page holds any real one.
const maxKconfig = 1 << 16

// buildKconfig lays out the configuration variables, the most aligned first and
// then the smallest (libbpf.c, cmp_externs), and fills in their values.
func (l *loader) buildKconfig(vars []*extern) {
	type placed struct {
		*extern
		size, align uint32
	}
	var list []placed
	for _, e := range vars {
		size, align := l.sizeof(e.typ), alignOf(e.typ, 0)
		if size == 0 || align == 0 || size > maxKconfig {
			e.err = unsupported("configuration variable of type %s", typeText(e.typ))
			continue
		}
		list = append(list, placed{e, size, align})
	}
	slices.SortFunc(list, func(a, b placed) int {
		return cmp.Or(cmp.Compare(b.align, a.align), cmp.Compare(a.size, b.size), cmp.Compare(a.sym.Name, b.sym.Name))
	})
	var values []byte
	for _, p := range list {
		for uint32(len(values))%p.align != 0 {
			values = append(values, 0)
		}
		if len(values)+int(p.size) > maxKconfig {
			p.err = formatErr("configuration variables of more than %d bytes", maxKconfig)
			continue
		}
		p.off = uint32(len(values))
		values = append(values, make([]byte, p.size)...)
		p.err = l.kconfigValue(p.extern, values[p.off:])
	}
	if len(values) == 0 {
		return
	}
	m := &spec.MapSpec{
		Name:       kconfigSection,
		Type:       spec.MapArray,
		KeySize:    4,
		ValueSize:  uint32(len(values)),
		MaxEntries: 1,
		Flags:      spec.MapRdOnlyProg,
		Section:    kconfigSection,
		Frozen:     true,
		Contents:   []spec.MapKV{{Key: arrayKey(0), Value: values}},
	}
	l.mapName[0] = m.Name // section 0 stands for "not in the file"
	l.addMap(mapKey{0, 0}, m)
}

// alignOf returns the alignment of a variable's type, or 0 where it has none of
// the kinds that a configuration variable can have.
func alignOf(t btf.Type, depth int) uint32 {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Int:
		return powerOfTwo(t.Size)
	case *btf.Enum:
		return powerOfTwo(t.Size)
	case *btf.Array:
		if depth < 8 {
			return alignOf(t.Type, depth+1)
		}
	}
	return 0
}

func powerOfTwo(n uint32) uint32 {
	if n > 16 || n&(n-1) != 0 {
		return 0
	}
	return n
}

// kconfigValue writes a variable's value (libbpf.c, set_kcfg_value_*). Names that
// begin with LINUX_ are libbpf's own; the rest are from the kernel's .config.
func (l *loader) kconfigValue(e *extern, to []byte) error {
	name := e.sym.Name
	number := func(n uint64) error { return putNumber(e.typ, n, to) }
	switch name {
	case "LINUX_KERNEL_VERSION":
		if v := l.opts.KernelVersion; v != 0 {
			return number(uint64(v))
		}
		return number(DefaultKernelVersion)
	case "LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER":
		return number(1)
	}
	text, ok := l.opts.Kconfig[name]
	if !ok {
		text, ok = defaultKconfig[name]
	}
	if !ok {
		if e.sym.Weak() {
			return nil // stays 0
		}
		return unsupported("no value for configuration variable %s", name)
	}
	switch {
	case text == "":
		return formatErr("empty value of %s", name)
	case text[0] == '"':
		s, err := strconv.Unquote(text)
		if err != nil {
			return formatErr("value %s of %s is no string", text, name)
		}
		if _, ok := btf.UnderlyingType(e.typ).(*btf.Array); !ok || len(to) == 0 {
			return formatErr("%s is a string, its variable is %s", name, typeText(e.typ))
		}
		copy(to[:len(to)-1], s)
		return nil
	case text == "y" || text == "m" || text == "n":
		return putTristate(e.typ, text[0], to)
	}
	if neg, ok := strings.CutPrefix(text, "-"); ok {
		n, err := strconv.ParseUint(neg, 0, 63)
		if err != nil {
			return formatErr("value %s of %s is no number", text, name)
		}
		return number(-n)
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return formatErr("value %s of %s is no number", text, name)
	}
	return number(n)
}

// putTristate stores y, m or n: as bool, as that character, or as
// enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE }.
func putTristate(t btf.Type, v byte, to []byte) error {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Enum:
		return putNumber(t, uint64(strings.IndexByte("nym", v)), to)
	case *btf.Int:
		switch {
		case t.Encoding == btf.Bool && v == 'm':
			return formatErr("a module (m) does not fit in a bool")
		case t.Encoding == btf.Bool:
			return putNumber(t, uint64(strings.IndexByte("ny", v)), to)
		case t.Size == 1:
			to[0] = v
			return nil
		}
	}
	return formatErr("%c does not fit in %s", v, typeText(t))
}

// putNumber stores a number in a variable of its size.
func putNumber(t btf.Type, n uint64, to []byte) error {
	switch btf.UnderlyingType(t).(type) {
	case *btf.Int, *btf.Enum:
	default:
		return formatErr("a number does not fit in %s", typeText(t))
	}
	if len(to) > 8 {
		return formatErr("number of %d bytes", len(to))
	}
	size := l8(t)
	if size == 0 || size > len(to) {
		return formatErr("a number does not fit in %s", typeText(t))
	}
	if size < 8 && n>>(8*size) != 0 && n>>(8*size-1) != 1<<(64-8*size+1)-1 {
		return formatErr("%d does not fit in %d bytes", n, size)
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	copy(to[:size], b[:])
	return nil
}

// l8 returns the size of an integer type of at most 8 bytes, or 0.
func l8(t btf.Type) int {
	n, err := btf.Sizeof(t)
	if err != nil || n > 8 {
		return 0
	}
	return n
}
