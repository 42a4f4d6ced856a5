package labs

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/unittest"
)

// Exercise is a lab made for one student: constants drawn, objects built.
type Exercise struct {
	*Lab
	Student string
	files   map[string][]byte // with the private ones
	order   []string          // of the student's files
}

// For makes the lab for a student; the empty name is everybody's.
func (l *Lab) For(student string) (*Exercise, error) {
	e := &Exercise{Lab: l, Student: student, files: map[string][]byte{}}
	var pairs []string
	for _, v := range l.vary {
		pairs = append(pairs, "${"+v.name+"}", v.value(l.Number, student))
	}
	fill := strings.NewReplacer(pairs...)
	for _, f := range l.files {
		e.files[f.Name] = []byte(fill.Replace(string(f.Data)))
		if !private(f.Name) {
			e.order = append(e.order, f.Name)
		}
	}
	for _, b := range l.builds {
		u, err := unittest.AssembleUnit(b.source, e.files[b.source])
		if err != nil {
			return nil, err
		}
		write := elf.Write
		if b.classic {
			write = elf.WriteClassic
		}
		if e.files[b.object], err = write(u); err != nil {
			return nil, fmt.Errorf("%s: %w", b.source, err)
		}
		e.order = append(e.order, b.object)
	}
	return e, nil
}

// Files are the names of what the student gets, in the order of the lab.
func (e *Exercise) Files() []string { return slices.Clone(e.order) }

// File is the content of a file of the student as it was at the start.
func (e *Exercise) File(name string) []byte {
	if private(name) {
		return nil
	}
	return bytes.Clone(e.files[name])
}

// Solution is a file as it should become. Labs with answers and bytes have theirs
// computed.
func (e *Exercise) Solution(name string) []byte {
	if b, ok := e.files["solution/"+name]; ok {
		return bytes.Clone(b)
	}
	var out strings.Builder
	for _, c := range e.checks {
		switch {
		case c.kind == "fact" && c.args[1] == name:
			f, err := e.fact(c.args[0], c.args[2])
			if err == nil {
				fmt.Fprintf(&out, "%-8s= %s\n", c.args[2], f.text)
			}
		case c.kind == "bytes" && c.args[0] == name:
			p, err := isa.AssembleProgram(string(e.files[c.args[1]]))
			if err != nil {
				return nil
			}
			pr := isa.Printer{}
			for pc := range p {
				slot := fmt.Sprintf("% x", isa.Encode(p[pc:pc+1]))
				text := pr.Insn(p, isa.PC(pc))
				if pc > 0 && p[pc-1].IsWide() {
					text = "upper half"
				}
				fmt.Fprintf(&out, "%s    # %s\n", slot, text)
			}
		}
	}
	if out.Len() == 0 {
		return bytes.Clone(e.files[name])
	}
	return []byte(out.String())
}

// parseHex reads slots from text: hexadecimal bytes, "#" begins a comment.
func parseHex(text []byte) ([]byte, error) {
	var out []byte
	for i, l := range strings.Split(string(text), "\n") {
		l, _, _ = strings.Cut(l, "#")
		b, err := hex.DecodeString(strings.Join(strings.Fields(l), ""))
		if err != nil {
			return nil, fmt.Errorf("line %d: %q is not bytes in hexadecimal, two digits each", i+1, strings.TrimSpace(l))
		}
		if len(b)%isa.SlotSize != 0 {
			return nil, fmt.Errorf("line %d: %d bytes, a slot has %d", i+1, len(b), isa.SlotSize)
		}
		out = append(out, b...)
	}
	return out, nil
}
