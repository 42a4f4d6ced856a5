package tour

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"bpfvm/elf"
	"bpfvm/scenario"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Input is what a tour is about.
type Input struct {
	Name    string // of the object, for titles
	Object  []byte
	Program string // empty: the object's first
	// Script lets the program's event happen; nil ends the tour where it waits.
	Script *scenario.Script
	Files  fs.FS     // for the script
	Target *btf.Spec // nil: the embedded one
}

// Tour is the life of one program.
type Tour struct {
	Object  string `json:"object"`
	Program string `json:"program"`
	Section string `json:"section"`
	Stops   []Stop `json:"stops"`
}

// Stop is one place on the way.
type Stop struct {
	Number int    `json:"number"`
	Title  string `json:"title"`
	// Kernel are the functions that do this in Linux and its classic loader, in the
	// order of their calls.
	Kernel []string `json:"kernel"`
	Blocks []Block  `json:"blocks"`
}

// Kind is the form of a block.
type Kind string

// Kinds of blocks.
const (
	Text  Kind = "text"  // prose
	Table Kind = "table" // Head and Rows
	Code  Kind = "code"  // Lines as they are
	Note  Kind = "note"  // what is not here, and why
)

// Block is a part of a stop.
type Block struct {
	Kind  Kind       `json:"kind"`
	Text  string     `json:"text,omitempty"`
	Head  []string   `json:"head,omitempty"` // a leading ">" sets a column to the right
	Rows  [][]string `json:"rows,omitempty"`
	Lines []string   `json:"lines,omitempty"`
}

// text, table, code and note append blocks.
func (s *Stop) text(format string, args ...any) {
	s.Blocks = append(s.Blocks, Block{Kind: Text, Text: fmt.Sprintf(format, args...)})
}

func (s *Stop) table(head []string, rows [][]string) {
	s.Blocks = append(s.Blocks, Block{Kind: Table, Head: head, Rows: rows})
}

func (s *Stop) code(lines ...string) {
	s.Blocks = append(s.Blocks, Block{Kind: Code, Lines: lines})
}

func (s *Stop) note(format string, args ...any) {
	s.Blocks = append(s.Blocks, Block{Kind: Note, Text: fmt.Sprintf(format, args...)})
}

// builder holds what the stops share.
type builder struct {
	in   Input
	ctx  context.Context
	file *elf.File
	info *elf.Info
	coll *spec.CollectionSpec
	prog *spec.ProgramSpec
	tour *Tour
	life *life // what happened when it ran; nil without a script
}

// Build walks the whole way. The error says that the object has no program to walk
// with; what fails later, at the verifier or at the run, is told at its stop.
func Build(ctx context.Context, in Input) (*Tour, error) {
	b := &builder{in: in, ctx: ctx}
	var err error
	if b.file, err = elf.Open(bytes.NewReader(in.Object), int64(len(in.Object))); err != nil {
		return nil, fmt.Errorf("%s: %w", in.Name, err)
	}
	opts := elf.Options{Name: elf.BaseName(in.Name), Target: in.Target}
	b.info = b.file.Inspect(opts)
	if b.coll, err = b.file.Collection(opts); b.coll == nil {
		return nil, fmt.Errorf("%s: %w", in.Name, err)
	}
	switch {
	case in.Program != "":
		if b.prog = b.coll.Program(in.Program); b.prog == nil {
			return nil, errors.Join(fmt.Errorf("%s: no program %q", in.Name, in.Program), err)
		}
	case len(b.coll.Programs) == 0:
		return nil, errors.Join(fmt.Errorf("%s: the object holds no program", in.Name), err)
	default:
		b.prog = b.coll.Programs[0]
	}
	b.tour = &Tour{Object: in.Name, Program: b.prog.Name, Section: b.prog.Section}
	for _, stop := range []func(){
		b.sections, b.license, b.maps, b.relocations, b.progType,
		b.attributes, b.instructions, b.verify, b.jit, b.kallsyms,
		b.event, b.firing, b.runArray, b.afterwards,
	} {
		stop()
	}
	return b.tour, nil
}

// stop begins the next one.
func (b *builder) stop(title string, kernel ...string) *Stop {
	b.tour.Stops = append(b.tour.Stops, Stop{Number: len(b.tour.Stops) + 1, Title: title, Kernel: kernel, Blocks: []Block{}})
	return &b.tour.Stops[len(b.tour.Stops)-1]
}

// plural counts things: "1 map", "2 maps".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
