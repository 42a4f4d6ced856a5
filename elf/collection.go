package elf

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// Options tells how to turn an object into a collection.
type Options struct {
	// Name is the object's name in messages and in the collection.
	Name string
	// Target holds the types of the kernel that the programs shall run on; CO-RE
	// relocations are computed against it. Nil means the embedded types of Linux
	// 6.18, types.Target.
	Target *btf.Spec
	// KernelVersion is what LINUX_KERNEL_VERSION reads as: major<<16 | minor<<8 |
	// patch. Zero means DefaultKernelVersion.
	KernelVersion uint32
	// Kconfig gives CONFIG_ variables their values, written as in a .config file:
	// "y", "n", "m", "1000", "0x1f" or "\"text\"". They come before the defaults
	// of DefaultKconfig.
	Kconfig map[string]string
}

// loader carries an object from sections to a collection.
type loader struct {
	f    *File
	opts Options
	b    *budget
	bss  int64 // bytes of variables that may still be made out of nothing
	out  *spec.CollectionSpec
	errs ErrorList

	bt     *objectBTF // nil without usable .BTF
	btErr  error      // why it is not usable
	ext    *btfExt    // nil without .BTF.ext
	extErr error

	secs     []sectionKind // by section number
	maps     map[mapKey]*spec.MapSpec
	mapNamed map[string]*spec.MapSpec
	badMaps  map[mapKey]error    // maps that were refused
	mapName  map[int]string      // of data sections, by section number
	externs  map[int]*extern     // by symbol number
	funcs    map[int][]*function // by section number, sorted by offset
	ops      []structOps
	opOf     map[*spec.ProgramSpec]string // what a struct_ops program is for
	textSec  int
	named    map[int]bool // sections with symbols or references, by number
}

// mapKey is the place of a map's definition, which is how relocations name it.
type mapKey struct {
	sec int
	off uint64
}

// sectionKind is what a loader does with a section.
type sectionKind uint8

const (
	secOther sectionKind = iota
	secCode
	secLegacyMaps
	secBTFMaps
	secData
	secStructOps
	secArena
)

const (
	btfMapsSection = ".maps"
	arenaSection   = ".addr_space.1"
	textSection    = ".text"
)

func isDataSection(name string) bool {
	for _, base := range []string{".data", ".rodata", ".bss"} {
		if rest, ok := strings.CutPrefix(name, base); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

func isStructOpsSection(name string) bool {
	return strings.TrimPrefix(name, "?") == ".struct_ops" || isLinkSection(name)
}

func isLinkSection(name string) bool {
	return strings.TrimPrefix(name, "?") == ".struct_ops.link"
}

// isLegacyMapsSection knows "maps", gobpf's "maps/NAME" and ir-keytable's
// "lirc_mode2/maps".
func isLegacyMapsSection(name string) bool {
	return name == "maps" || strings.HasPrefix(name, "maps/") || strings.HasSuffix(name, "/maps")
}

func classify(s *Section) sectionKind {
	switch {
	case s.Size == 0 || s.Index == 0:
		return secOther
	case s.Exec():
		return secCode
	case s.Type != shtProgbits && s.Type != shtNobits:
		return secOther
	case isDataSection(s.Name):
		return secData
	case s.Name == btfMapsSection:
		return secBTFMaps
	case isLegacyMapsSection(s.Name):
		return secLegacyMaps
	case isStructOpsSection(s.Name):
		return secStructOps
	case s.Name == arenaSection:
		return secArena
	}
	return secOther
}

// Collection links the object: maps are read, subprograms appended to the
// programs that call them, references and CO-RE relocations applied.
//
// Programs and maps that cannot be used are left out and listed in the error,
// an ErrorList of *ProgramError, *MapError and *SectionError; everything else
// is in the collection. A nil collection means that nothing could be read.
func (f *File) Collection(opts Options) (*spec.CollectionSpec, error) {
	l, err := f.link(opts)
	if err != nil {
		return nil, err
	}
	return l.out, l.errs.err()
}

// link does the work of Collection and keeps what it found out on the way.
func (f *File) link(opts Options) (*loader, error) {
	l := &loader{
		f:        f,
		opts:     opts,
		bss:      maxDataSize,
		b:        newBudget(int64(len(f.data))),
		out:      &spec.CollectionSpec{Name: opts.Name, License: f.License()},
		secs:     make([]sectionKind, len(f.Sections)),
		maps:     make(map[mapKey]*spec.MapSpec),
		mapNamed: make(map[string]*spec.MapSpec),
		badMaps:  make(map[mapKey]error),
		mapName:  make(map[int]string),
		externs:  make(map[int]*extern),
		funcs:    make(map[int][]*function),
		opOf:     make(map[*spec.ProgramSpec]string),
	}
	if f.symtab == 0 {
		return nil, fmt.Errorf("no symbol table: the object is stripped: %w", ErrFormat)
	}
	var err error
	if l.out.Version, err = f.Version(); err != nil {
		l.errs.add(err)
	}
	for i := range f.Sections {
		l.secs[i] = classify(&f.Sections[i])
	}
	l.named = f.namedSections()
	l.readBTF()
	l.readMaps()
	l.readExterns()
	l.findFunctions()
	l.resolveCore()
	l.linkPrograms()
	l.bindStructOps()
	l.checkContents()
	l.errs = l.errs.compact()
	return l, nil
}

// readBTF reads .BTF and .BTF.ext. An object whose BTF is broken still has its
// classic parts; what needs BTF is refused with the reason.
func (l *loader) readBTF() {
	sec := l.f.Section(".BTF")
	if sec == nil || len(sec.data) == 0 {
		l.btErr = ErrNoBTF
		return
	}
	l.bt, l.btErr = parseBTF(sec.data, l.b)
	if l.btErr != nil {
		l.bt = nil
		l.errs.add(&SectionError{Section: ".BTF", Off: -1, Err: l.btErr})
		return
	}
	l.out.BTF = l.placeVariables(sec.data)
	ext := l.f.Section(".BTF.ext")
	if ext == nil || len(ext.data) == 0 {
		return
	}
	l.ext, l.extErr = l.f.parseBTFExt(ext.data, l.bt, l.b)
	if l.extErr != nil {
		l.ext = nil
		l.extErr = &SectionError{Section: ".BTF.ext", Off: -1, Err: l.extErr}
		l.errs.add(l.extErr)
	}
}

// target returns the types to relocate against. The embedded ones are unpacked
// only for objects that need them.
func (l *loader) target() (*btf.Spec, error) {
	if l.opts.Target == nil {
		t, err := types.Target()
		if err != nil {
			return nil, err
		}
		l.opts.Target = t
	}
	return l.opts.Target, nil
}

// LoadReader opens an object and links it.
func LoadReader(r io.ReaderAt, size int64, opts Options) (*spec.CollectionSpec, error) {
	f, err := Open(r, size)
	if err != nil {
		return nil, err
	}
	return f.Collection(opts)
}

// Load opens the object at path and links it. Like Collection it may return a
// collection and an error: the programs that can be used and the list of those
// that cannot.
func Load(path string, opts Options) (*spec.CollectionSpec, error) {
	if opts.Name == "" {
		opts.Name = BaseName(path)
	}
	fh, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer fh.Close()
	st, err := fh.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return LoadReader(fh, st.Size(), opts)
}

// BaseName returns an object's name: its file name without directories and
// without ".o" or ".bpf.o".
func BaseName(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".o"), ".bpf")
}
