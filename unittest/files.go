package unittest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// load reads an object, or assembles it.
func (f *File) load(name string, read func(string) ([]byte, error), target *btf.Spec) (*spec.CollectionSpec, error) {
	b, err := read(name)
	if err != nil {
		return nil, err
	}
	if isSource(name) {
		if b, err = Assemble(name, b); err != nil {
			return nil, err
		}
	}
	coll, err := elf.LoadReader(bytes.NewReader(b), int64(len(b)), elf.Options{Name: elf.BaseName(name), Target: target})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return coll, nil
}

// AssembleUnit assembles a source with the kernel's names for helpers.
func AssembleUnit(name string, src []byte) (*isa.Unit, error) {
	return isa.Assemble(name, src, isa.Options{
		HelperID: func(name string) (int32, bool) {
			h := spec.HelperByName(name)
			if h == nil {
				return 0, false
			}
			return int32(h.ID), true
		},
		HelperNames: func(yield func(string) bool) {
			for _, h := range spec.Helpers() {
				if !yield(h.Name) {
					return
				}
			}
		},
	})
}

// Assemble makes an object of a source.
func Assemble(name string, src []byte) ([]byte, error) {
	u, err := AssembleUnit(name, src)
	if err != nil {
		return nil, err
	}
	b, err := elf.Write(u)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// files shows a case's files to the scenario: those of the archive first.
type files struct{ r *running }

// Open implements fs.FS. Unlike most, it takes paths with "..": tests often share
// captures with their neighbours.
func (f files) Open(name string) (fs.File, error) {
	b, err := f.r.read(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return nil, err
	}
	return &memFile{bytes.NewReader(b), path.Base(name)}, nil
}

// memFile is a file whose bytes are at hand.
type memFile struct {
	*bytes.Reader
	name string
}

func (f *memFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memFile) Close() error               { return nil }
func (f *memFile) Name() string               { return f.name }
func (f *memFile) Size() int64                { return f.Reader.Size() }
func (f *memFile) Mode() fs.FileMode          { return 0o444 }
func (f *memFile) ModTime() time.Time         { return time.Time{} }
func (f *memFile) IsDir() bool                { return false }
func (f *memFile) Sys() any                   { return nil }
