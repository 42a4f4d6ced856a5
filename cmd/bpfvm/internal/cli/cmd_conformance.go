package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"

	"github.com/spf13/cobra"
)

func cmdConformance() *command {
	return &command{
		name: "conformance-plugin", minor: true, args: "[MEMORY]", short: "run a program for the bpf_conformance suite",
		long: "The plugin protocol of github.com/Alan-Jowett/bpf_conformance: MEMORY is hex bytes, the " +
			"program comes as hex bytes on standard input (or with --program), and r0 goes to standard " +
			"output as hex. The program gets the address of the memory in r1 and its length in r2. Every " +
			"conformance group is there, packet and callx among them. Nothing is verified: the engine " +
			"checks while it runs.\n\n" +
			"The suite's runner takes a path without arguments; give it a script of two lines:\n" +
			"  #!/bin/sh\n" +
			"  exec bpfvm conformance-plugin \"$@\"",
		examples: []example{
			{"echo 'b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00' | bpfvm conformance-plugin", "prints 2a"},
			{"bpfvm asm p.s --hex | bpfvm conformance-plugin 'aa bb cc dd'", "a program of one's own, on four bytes"},
			{"bpf_conformance_runner --test_file_directory tests --plugin_path ./plugin.sh", "the whole suite"},
		},
		exits: []int{exitInput, exitUnsupported, exitFault}, seeAlso: []string{"run", "asm"},
		wants: argCount{0, 2},
		setup: func(a *app, c *cobra.Command) func([]string) error {
			var f conformanceFlags
			fs := c.Flags()
			fs.StringVar(&f.engine, "engine", "interp", "interp, step or jit")
			fs.StringVar(&f.program, "program", "", "the program as `HEX` instead of standard input")
			fs.BoolVar(&f.elf, "elf", false, "the program is an object file, as hex")
			fs.BoolVar(&f.debug, "debug", false, "list the program on stderr")
			completeEngine(c)
			return func(args []string) error { return a.conformance(args, f) }
		},
	}
}

type conformanceFlags struct {
	engine, program string
	elf, debug      bool
}

// conformanceBudget ends programs that loop: the suite's longest test executes
// some ten thousand instructions.
const conformanceBudget = 10_000_000

func (a *app) conformance(args []string, f conformanceFlags) error {
	engine, err := compileEngine(f.engine)
	if err != nil {
		return err
	}
	var memory []byte
	for _, arg := range args { // the runner may add an empty argument
		b, err := hexBytes("memory", arg)
		if err != nil {
			return err
		}
		memory = append(memory, b...)
	}
	text := f.program
	if text == "" {
		b, err := io.ReadAll(io.LimitReader(a.io.In, maxInput))
		if err != nil {
			return inputErr("read the program: %w", err)
		}
		text = string(b)
	}
	b, err := hexBytes("program", text)
	if err != nil {
		return err
	}
	var prog isa.Program
	if f.elf || isELF(b) {
		if prog, err = a.elfProgram(b); err != nil {
			return err
		}
	} else if prog, err = isa.Decode(b); err != nil {
		return fmt.Errorf("program: %w", err)
	}
	if len(prog) == 0 {
		return inputErr("the program is empty")
	}
	if f.debug {
		if err := isa.Disassemble(a.io.Err, prog, isa.Printer{Slots: true, HelperName: spec.HelperName}); err != nil {
			return err
		}
	}
	exit, err := runBytes(engine, "program", prog, memory)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%x\n", exit.R0)
	return nil
}

// hexBytes reads hex digits with any blanks between bytes.
func hexBytes(what, text string) ([]byte, error) {
	digits := strings.Join(strings.Fields(text), "")
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, inputErr("%s: not hex bytes: %w", what, err)
	}
	return b, nil
}

// elfProgram returns the first program of an object.
func (a *app) elfProgram(b []byte) (isa.Program, error) {
	o, err := a.openBytes("program", b)
	if err != nil {
		return nil, err
	}
	if len(o.coll.Programs) == 0 {
		return nil, inputErr("program: the object holds none")
	}
	p := o.coll.Programs[0]
	if len(p.Refs) > 0 {
		return nil, unsupportedErr("program %q refers to %q: the plugin has no maps", p.Name, p.Refs[0].Name)
	}
	return p.Insns, nil
}

// runBytes runs a bare program on bare memory: r1 its address, r2 its length.
func runBytes(engine vm.Engine, name string, prog isa.Program, memory []byte) (vm.Exit, error) {
	mem, err := vm.NewMemory(0)
	if err != nil {
		return vm.Exit{}, err
	}
	defer mem.Close()
	m, err := vm.NewMachine(mem)
	if err != nil {
		return vm.Exit{}, err
	}
	m.Limit = conformanceBudget
	var ctx uint64
	if len(memory) > 0 {
		region, err := mem.Alloc(vm.Spec{Kind: vm.RegionCtx, Size: uint64(len(memory)), Perm: vm.PermRW})
		if err != nil {
			return vm.Exit{}, err
		}
		ctx = region.Base
		copy(mem.Raw(ctx, uint64(len(memory))), memory)
		m.PktData, m.PktEnd = ctx, ctx+uint64(len(memory))
	}
	// The engines' signature has the context only, so the length is loaded by an
	// instruction in front of the program. Jumps and calls are relative.
	setLen := isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK), Imm: int32(len(memory))}.WithDst(isa.R2)
	runner, err := engine.Compile(&vm.Code{Name: name, Insns: append(isa.Program{setLen}, prog...)})
	if err != nil {
		return vm.Exit{}, err
	}
	m.Reset()
	exit, err := runner.Run(m, ctx)
	exit.Insns -= min(exit.Insns, 1)
	if t, ok := errors.AsType[*vm.Trap](err); ok { // in the slots of the program
		t.PC--
		t.Insns -= min(t.Insns, 1)
	}
	return exit, err
}
