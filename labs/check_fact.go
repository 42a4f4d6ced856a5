package labs

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

// fact is something true of an object.
type fact struct {
	text string // as the solution writes it
	what string // what is asked for, without giving it away
}

// fact finds the truth in the object itself. It is about the last program, which the
// task names.
func (e *Exercise) fact(object, name string) (*fact, error) {
	b, ok := e.files[object]
	if !ok {
		return nil, fmt.Errorf("the lab has no file %s", object)
	}
	f, err := elf.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	coll, err := f.Collection(elf.Options{Name: object})
	if err != nil {
		return nil, err
	}
	p := coll.Programs[len(coll.Programs)-1]
	sec := f.Section(p.Section)
	num := func(n uint64) string { return strconv.FormatUint(n, 10) }
	switch name {
	case "section":
		return &fact{num(uint64(sec.Index)), "the section whose flags have X and whose name tells what " + p.Name + " is for"}, nil
	case "offset":
		return &fact{num(sec.Offset), "where that section begins in the file"}, nil
	case "slots":
		return &fact{num(sec.Size / isa.SlotSize), "the section's size in bytes, divided by 8"}, nil
	case "first":
		return &fact{fmt.Sprintf("% x", sec.Data()[:isa.SlotSize]), "the first 8 bytes of the section, as they lie in the file"}, nil
	case "type":
		return &fact{p.Type.String(), "the program type that the section's name stands for"}, nil
	case "attach":
		return &fact{p.AttachTo, "what follows the slash in the section's name"}, nil
	case "license":
		return &fact{coll.License, "the text of section \"license\""}, nil
	case "maps":
		for _, s := range f.Sections {
			if s.Name == "maps" || s.Name == ".maps" {
				return &fact{num(uint64(s.Index)), "the section named maps"}, nil
			}
		}
	case "relocs":
		for _, s := range f.Sections {
			if int(s.Info) == sec.Index && (s.TypeName() == "REL" || s.TypeName() == "RELA") {
				return &fact{num(uint64(s.Index)), "the section of type REL whose \"info\" is the program's section"}, nil
			}
		}
	}
	return nil, fmt.Errorf("%s: nothing is known of %q", object, name)
}

func (c *checking) checkFact(args []string) (*finding, error) {
	truth, err := c.e.fact(args[0], args[2])
	if err != nil {
		return nil, err
	}
	text, err := c.read(args[1])
	if err != nil {
		return nil, err
	}
	got := answer(text, args[2])
	again := "bpfvm inspect " + args[0] + " --sections"
	if args[2] == "first" || args[2] == "slots" {
		again = "bpfvm disasm " + args[0] + " --opcodes"
	}
	if got == "" {
		return &finding{empty: true, want: truth.what, got: "no answer yet", again: again}, nil
	}
	if sameAnswer(got, truth.text) {
		return nil, nil
	}
	return &finding{want: truth.what, got: got + c.comment(args[0], args[2], got), again: again}, nil
}

// comment says what a wrong number would be.
func (c *checking) comment(object, name, got string) string {
	n, err := strconv.ParseUint(got, 0, 16)
	if err != nil || name != "section" && name != "maps" && name != "relocs" {
		if name == "type" {
			if _, ok := spec.ProgTypeByName(got); !ok {
				return ", which is no program type (\"bpfvm explain programs\" lists them)"
			}
		}
		return ""
	}
	b := c.e.files[object]
	f, err := elf.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil || n >= uint64(len(f.Sections)) {
		return ", but there is no such section"
	}
	s := f.Sections[n]
	return fmt.Sprintf(", but section %d is %q (%s, %d bytes, flags %q)", n, s.Name, s.TypeName(), s.Size, s.FlagNames())
}

// answer finds "NAME = VALUE" in the student's file.
func answer(text []byte, name string) string {
	for l := range strings.Lines(string(text)) {
		l, _, _ = strings.Cut(l, "#")
		k, v, ok := strings.Cut(l, "=")
		if ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

// sameAnswer compares numbers by their value, and texts without case and blanks.
func sameAnswer(a, b string) bool {
	na, errA := strconv.ParseUint(a, 0, 64)
	nb, errB := strconv.ParseUint(b, 0, 64)
	if errA == nil && errB == nil {
		return na == nb
	}
	tight := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }
	return tight(strings.TrimPrefix(a, "BPF_PROG_TYPE_")) == tight(b)
}
