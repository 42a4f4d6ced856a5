package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/spf13/cobra"
)

func cmdAsm() *command {
	return &command{
		name: "asm", args: "FILE.s [-o OUT.o]", short: "assemble verifier-style text into an object file",
		long: "Reads the syntax that disasm, the verifier's log and llvm-objdump print, with directives " +
			"for sections, maps and data, and writes an object file: FILE.o beside FILE.s, or what -o " +
			"says. Errors come as file:line:column, all at once. FILE may be - for standard input.\n\n" +
			".program NAME SECTION   begins a program\n" +
			".func NAME static       begins a subprogram\n" +
			".map NAME type=hash key=4 value=8 max_entries=16\n" +
			".rodata NAME \"text\"     and .data, .bss, .byte, .half, .word, .quad, .zero, .align\n" +
			".license \"GPL\"          and .version N\n" +
			"again: if r1 != 0 goto again",
		examples: []example{
			{"bpfvm asm prog.s -o prog.o", "an object file"},
			{"bpfvm asm prog.s --list", "slot, bytes and text of each instruction"},
			{"echo 'r0 = 1; exit' | tr ';' '\\n' | bpfvm asm - --hex", "bytes for other tools"},
		},
		exits: []int{exitInput, exitUnsupported}, seeAlso: []string{"disasm", "run", "conformance-plugin"},
		wants: argCount{1, 1}, json: true, pager: true,
		setup: setupAsm,
	}
}

type asmFlags struct {
	out            string
	raw, hex, list bool
	classic        bool
}

func setupAsm(a *app, c *cobra.Command) func([]string) error {
	var f asmFlags
	fs := c.Flags()
	fs.StringVarP(&f.out, "output", "o", "", "write to `FILE` (- is standard output)")
	fs.BoolVar(&f.raw, "raw", false, "write the slots of the only section, 8 bytes each, without ELF")
	fs.BoolVar(&f.hex, "hex", false, "print the slots as hex, one a line")
	fs.BoolVar(&f.list, "list", false, "print slot, bytes and text")
	fs.BoolVar(&f.classic, "classic", false, "maps as loaders of Linux 4.x knew them, without BTF")
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return []cobra.Completion{"s", "asm"}, cobra.ShellCompDirectiveFilterFileExt
	}
	return func(args []string) error { return a.asm(args[0], f) }
}

// asmDoc is the document of "asm".
type asmDoc struct {
	docHead
	Source   string        `json:"source"`
	Output   string        `json:"output,omitempty"`
	License  string        `json:"license"`
	Sections []disasmProg  `json:"sections"`
	Maps     []asmMapEntry `json:"maps"`
}

type asmMapEntry struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	KeySize    uint32 `json:"key_size"`
	ValueSize  uint32 `json:"value_size"`
	MaxEntries uint32 `json:"max_entries"`
}

func (a *app) asm(path string, f asmFlags) error {
	if f.raw && f.hex || f.raw && f.list || f.hex && f.list {
		return usageErr("--raw, --hex and --list exclude each other")
	}
	src, err := a.readInput(path)
	if err != nil {
		return err
	}
	u, err := assemble(display(path), src)
	if err != nil {
		return err
	}
	if len(u.Sections)+len(u.Maps)+len(u.Data) == 0 {
		return inputErr("%s: there is nothing to assemble", display(path))
	}
	doc := describeUnit(display(path), u)
	switch {
	case f.raw:
		b, err := onlySection(u)
		if err != nil {
			return err
		}
		if f.out == "" {
			f.out = "-"
		}
		return a.writeFile(f.out, b)
	case f.hex:
		a.writeHex(doc)
	case f.list:
		a.writeUnit(doc)
	default:
		if err := a.asmObject(path, &f, u); err != nil {
			return err
		}
		doc.Output = display(f.out)
		if f.out == "-" {
			return nil
		}
		if !a.jsonWanted() {
			fmt.Fprintf(a.out, "%s: %s, %s\n", doc.Output, plural(countInsns(doc), "instruction"), plural(len(doc.Maps), "map"))
		}
		a.next = "bpfvm run " + doc.Output
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
	}
	return nil
}

// assemble knows the helpers' names.
func assemble(name string, src []byte) (*isa.Unit, error) {
	return isa.Assemble(name, src, isa.Options{
		HelperID: func(name string) (int32, bool) {
			h := spec.HelperByName(name)
			if h == nil {
				return 0, false
			}
			return int32(h.ID), true
		},
		HelperNames: helperNames,
	})
}

// helperNames yields the names of all helpers.
func helperNames(yield func(string) bool) {
	for _, h := range spec.Helpers() {
		if !yield(h.Name) {
			return
		}
	}
}

// asmObject writes the object and fills in its name.
func (a *app) asmObject(path string, f *asmFlags, u *isa.Unit) error {
	write := elf.Write
	if f.classic {
		write = elf.WriteClassic
	}
	b, err := write(u)
	if err != nil {
		return fmt.Errorf("%s: %w", display(path), err)
	}
	if f.out == "" {
		if path == "-" {
			return usageErr("assembling standard input needs -o FILE")
		}
		f.out = strings.TrimSuffix(path, filepath.Ext(path)) + ".o"
	}
	return a.writeFile(f.out, b)
}

// assembleObject turns a source into an object, for verbs that read objects.
func assembleObject(path string, src []byte) ([]byte, error) {
	u, err := assemble(display(path), src)
	if err != nil {
		return nil, err
	}
	b, err := elf.Write(u)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", display(path), err)
	}
	return b, nil
}

// writeFile writes to a file, or to standard output for "-".
func (a *app) writeFile(path string, b []byte) error {
	if path == "-" {
		if a.io.OutTTY {
			return usageErr("not writing bytes to a terminal; use -o FILE")
		}
		a.out = a.io.Out
		_, err := a.out.Write(b)
		return err
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		return fileErr(path, err)
	}
	return nil
}

// onlySection returns the code of a source that needs no loader.
func onlySection(u *isa.Unit) ([]byte, error) {
	if len(u.Sections) != 1 {
		return nil, inputErr("--raw wants one section, the source has %d", len(u.Sections))
	}
	for _, r := range u.Sections[0].Refs {
		if !r.Local {
			return nil, inputErr("--raw: slot %d refers to %s %q, which only a loader can fill in", r.PC, r.Kind, r.Symbol)
		}
	}
	return isa.Encode(u.Sections[0].Insns), nil
}

func describeUnit(path string, u *isa.Unit) asmDoc {
	d := asmDoc{docHead: head("asm"), Source: path, License: u.License, Sections: []disasmProg{}, Maps: []asmMapEntry{}}
	for _, m := range u.Maps {
		d.Maps = append(d.Maps, asmMapEntry{m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries})
	}
	for i := range u.Sections {
		d.Sections = append(d.Sections, describeAsmSection(path, &u.Sections[i]))
	}
	return d
}

func describeAsmSection(path string, s *isa.AsmSection) disasmProg {
	funcs := map[isa.PC]string{}
	for _, f := range s.Funcs {
		funcs[f.PC] = f.Name
	}
	refs := map[isa.PC]isa.Ref{}
	for _, r := range s.Refs {
		refs[r.PC] = r
	}
	pr := &isa.Printer{
		HelperName: spec.HelperName,
		CallTarget: func(pc isa.PC) string { return funcs[pc] },
		Imm64: func(pc isa.PC, _ isa.Pseudo, _ uint64) string {
			switch r := refs[pc]; r.Kind {
			case isa.RefMap:
				return "map[" + spec.Word(r.Symbol) + "]"
			case isa.RefMapValue:
				return fmt.Sprintf("map[%s][0]+%d", spec.Word(r.Symbol), r.Addend)
			case isa.RefFunc:
				return "func[" + spec.Word(r.Symbol) + "]"
			}
			return ""
		},
	}
	p := disasmProg{Object: path, Name: s.Name, Section: s.Name, Insns: []disasmInsn{}}
	for pc := range s.Insns.All() {
		in := disasmInsn{Slot: int(pc), pc: pc, Bytes: slotBytes(s.Insns, pc), Text: pr.Insn(s.Insns, pc), Func: funcs[pc]}
		if r, ok := refs[pc]; ok && !r.Local {
			switch r.Kind {
			case isa.RefCall:
				in.Text = "call " + spec.Word(r.Symbol)
			case isa.RefKfunc:
				in.Text = "call kfunc " + spec.Word(r.Symbol)
			}
		}
		p.Insns = append(p.Insns, in)
	}
	return p
}

func countInsns(d asmDoc) int {
	n := 0
	for _, s := range d.Sections {
		n += len(s.Insns)
	}
	return n
}

func (a *app) writeHex(d asmDoc) {
	if a.jsonWanted() {
		return
	}
	for _, s := range d.Sections {
		for _, in := range s.Insns {
			for i := 0; i < len(in.Bytes); i += 24 {
				fmt.Fprintln(a.out, strings.TrimSpace(in.Bytes[i:min(i+24, len(in.Bytes))]))
			}
		}
	}
}

func (a *app) writeUnit(d asmDoc) {
	if a.jsonWanted() {
		return
	}
	for i, s := range d.Sections {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		l := listing{disasmProg: s}
		if s.Section != "" {
			l.head = []string{".section " + spec.Word(s.Section)}
		}
		a.writeInsns(l, disasmFlags{opcodes: true, elf: true})
	}
}
