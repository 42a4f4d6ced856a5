package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfvm/elf"
	"bpfvm/spec"
)

// maxInput bounds what is read from a file or from standard input. The largest
// objects known are below 20 MiB.
const maxInput = 256 << 20

// target is an operand FILE[:PROG].
type target struct {
	path string
	prog string // empty: not said
}

// splitTarget cuts FILE[:PROG] at the last colon, unless the whole is a file's
// name or the colon belongs to a Windows drive ("C:\x.o").
func splitTarget(arg string) target {
	if _, err := os.Stat(arg); err == nil {
		return target{path: arg}
	}
	i := strings.LastIndexByte(arg, ':')
	if i <= 0 || strings.ContainsAny(arg[i+1:], `/\`) {
		return target{path: arg}
	}
	return target{arg[:i], arg[i+1:]}
}

// readInput reads a file, or standard input for "-".
func (a *app) readInput(path string) ([]byte, error) {
	var r io.Reader = a.io.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fileErr(path, err)
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return nil, inputErr("%s: is a directory", path)
		}
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fileErr(path, err)
	}
	if len(b) > maxInput {
		return nil, inputErr("%s: more than %d MiB", path, maxInput>>20)
	}
	return b, nil
}

// fileErr words an error of the file system without the name of the system call.
func fileErr(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return inputErr("%s: no such file", path)
	}
	return inputErr("%s: %w", path, err)
}

// object is an opened FILE.
type object struct {
	path string
	file *elf.File
	// coll holds what can be used of the object; refused says what cannot.
	coll    *spec.CollectionSpec
	refused elf.ErrorList
	opts    elf.Options
}

// info describes the object in full.
func (o *object) info() *elf.Info { return o.file.Inspect(o.opts) }

// open reads an object file, or assembles a source into one. Parts that cannot be
// used are listed in refused; the error says that nothing can.
func (a *app) open(path string) (*object, error) {
	b, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	if !isELF(b) && looksLikeText(path, b) {
		if b, err = assembleObject(path, b); err != nil {
			return nil, err
		}
	}
	return a.openBytes(path, b)
}

// openBytes reads an object whose bytes are at hand.
func (a *app) openBytes(path string, b []byte) (*object, error) {
	o := &object{path: path}
	var err error
	if o.file, err = elf.Open(bytes.NewReader(b), int64(len(b))); err != nil {
		if errors.Is(err, elf.ErrNotELF) {
			err = fmt.Errorf("%w (assembly text is read from files whose names end in .s)", err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	opts, err := a.loadOptions(elf.BaseName(path))
	if err != nil {
		return nil, err
	}
	o.opts = opts
	o.coll, err = o.file.Collection(opts)
	if err != nil {
		list, ok := errors.AsType[elf.ErrorList](err)
		if !ok || o.coll == nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		o.refused = list
	}
	return o, nil
}

func isELF(b []byte) bool { return bytes.HasPrefix(b, []byte("\x7fELF")) }

// looksLikeText reports whether the input is to be read as assembly: by its name
// or, where there is none, by holding no NUL.
func looksLikeText(path string, b []byte) bool {
	switch filepath.Ext(path) {
	case ".s", ".S", ".asm", ".bpfasm", ".txt":
		return true
	case "": // standard input among others
		return len(b) > 0 && !bytes.Contains(b[:min(len(b), 4096)], []byte{0})
	}
	return false
}

// program returns the program that FILE[:PROG] names. Where the object has one
// only, its name can be left out.
func (o *object) program(name string) (*spec.ProgramSpec, error) {
	if name != "" {
		if p := o.coll.Program(name); p != nil {
			return p, nil
		}
		for _, pe := range o.refused.Programs() {
			if pe.Program == name {
				return nil, fmt.Errorf("%s: %w", o.path, pe)
			}
		}
		return nil, inputErr("%s: no program %q%s", o.path, name, didYouMean(name, o.programNames()))
	}
	switch len(o.coll.Programs) {
	case 1:
		return o.coll.Programs[0], nil
	case 0:
		if len(o.refused) > 0 {
			return nil, fmt.Errorf("%s: %w", o.path, o.refused)
		}
		return nil, inputErr("%s: the object holds no program", o.path)
	}
	return nil, usageErr("%s holds %d programs; say which: %s", o.path, len(o.coll.Programs),
		strings.Join(targets(o.path, o.programNames()), ", "))
}

// programs returns the program named, or all of them.
func (o *object) programs(name string) ([]*spec.ProgramSpec, error) {
	if name == "" {
		return o.coll.Programs, nil
	}
	p, err := o.program(name)
	if err != nil {
		return nil, err
	}
	return []*spec.ProgramSpec{p}, nil
}

func (o *object) programNames() []string {
	var names []string
	for _, p := range o.coll.Programs {
		names = append(names, p.Name)
	}
	return names
}

func targets(path string, names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names[:min(len(names), 6)] {
		out = append(out, path+":"+n)
	}
	if len(names) > 6 {
		out = append(out, "...")
	}
	return out
}

// objectsBelow lists the object files in a directory tree: what is named .o or
// begins like an ELF file. The order is that of the names.
func objectsBelow(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir:
			return err
		case err != nil:
			out = append(out, path) // opening it will say why it cannot be read
			return nil
		case !d.Type().IsRegular():
			return nil
		case filepath.Ext(path) == ".o" || startsLikeELF(path):
			out = append(out, path)
		}
		return nil
	})
	slices.Sort(out)
	if err != nil {
		return nil, fileErr(dir, err)
	}
	return out, nil
}

func startsLikeELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	_, err = io.ReadFull(f, magic[:])
	return err == nil && isELF(magic[:])
}

// isDir reports whether the operand is a directory.
func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// display is a path as it is shown: with slashes on every system, so that output
// does not depend on it.
func display(path string) string {
	if path == "-" {
		return "stdin"
	}
	return filepath.ToSlash(path)
}
