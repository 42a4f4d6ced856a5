package spec

import (
	"fmt"
	"strconv"
	"strings"

	"bpfvm/isa"
)

// HelperName is the name of the helper with that number, or "".
func HelperName(id int32) string {
	if h := HelperByID(HelperID(id)); h != nil {
		return h.Name
	}
	return ""
}

// Printer prints the program's instructions with the names of helpers, subprograms
// and maps, in words that the assembler reads back. Callers may add hooks.
func (p *ProgramSpec) Printer() isa.Printer {
	return isa.Printer{
		HelperName: HelperName,
		CallTarget: func(pc isa.PC) string {
			if f := p.FuncAt(pc); f != nil && f.PC == pc && f.Name != "" {
				return Word(f.Name)
			}
			return ""
		},
		Imm64: func(pc isa.PC, _ isa.Pseudo, _ uint64) string {
			r := p.RefAt(pc)
			switch {
			case r == nil:
				return ""
			case r.Kind == RefMap:
				return "map[" + Word(r.Name) + "]"
			case r.Kind == RefMapValue:
				return fmt.Sprintf("map[%s][0]+%d", Word(r.Name), r.Off)
			}
			return ""
		},
	}
}

// Word is a name as the assembler wants it: as it is where it is a single word, and
// quoted else. Names of objects are not to be trusted; a word is safe to print.
func Word(name string) string {
	strange := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.$/-", r))
	}
	if name == "" || strings.ContainsFunc(name, strange) {
		return strconv.Quote(name)
	}
	return name
}

// Plain makes text of an object or a packet safe to print: no control characters.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '?'
		}
		return r
	}, s)
}
