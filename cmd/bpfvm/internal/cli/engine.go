package cli

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"bpfvm/interp"
	"bpfvm/jit"
	"bpfvm/vm"
)

// engineInfo is a word that --engine knows.
type engineInfo struct {
	name    string
	what    string
	missing string // why it cannot be used; empty if it can
	exit    int    // of a run that asks for it all the same
}

// engines lists all words that --engine will ever know.
func engines() []engineInfo {
	return []engineInfo{
		{name: "step", what: "checked interpreter: every access, every register"},
		{name: "interp", what: "fast interpreter: checks memory accesses only"},
		jitEngine(),
		kernelEngine(),
	}
}

// kernelEngine says whether there is a kernel to ask; whether it may be asked, it
// says itself.
func kernelEngine() engineInfo {
	e := engineInfo{name: "kernel", what: "the kernel's own, through bpf(2): needs Linux and privilege"}
	if runtime.GOOS != "linux" {
		e.missing, e.exit = "Linux only", exitPrivilege
	}
	return e
}

// jitEngine says whether machine code runs here.
func jitEngine() engineInfo {
	e := engineInfo{name: "jit", what: "compiler to x86-64: machine code, every memory access checked"}
	if !jit.Native() {
		e.missing, e.exit = "machine code runs on linux/amd64 only; disasm --stage=jit lists it everywhere", exitUnsupported
	}
	return e
}

// jitPassesFlag adds --jit-passes.
func (a *app) jitPassesFlag(c *cobra.Command, passes *string) {
	c.Flags().StringVar(passes, "jit-passes", "all", "which `PASSES` the compiler does: all, none, all,-NAME or names")
}

// parsePasses reads the value of --jit-passes.
func parsePasses(list string) (jit.Passes, error) {
	p, err := jit.ParsePasses(list)
	if err != nil {
		return 0, usageErr("--jit-passes=%s: %v; there are %s", list, err, passList())
	}
	return p, nil
}

// passList names the passes with what they do.
func passList() string {
	var list []string
	for _, p := range jit.PassNames() {
		list = append(list, fmt.Sprintf("%s (%s)", p[0], p[1]))
	}
	return strings.Join(list, ", ")
}

// compileEngine returns the engine of that name.
func compileEngine(name string) (vm.Engine, error) {
	e, err := pickEngine(name)
	if err != nil {
		return nil, err
	}
	switch e.name {
	case "step":
		return interp.Step, nil
	case "jit":
		return jit.Engine, nil
	case "kernel":
		return nil, unsupportedErr("--engine=kernel: this command runs instructions, the kernel runs programs: use run, diff or kernel")
	}
	return interp.Fast, nil
}

// pickEngine returns the entry for the flag's value.
func pickEngine(name string) (engineInfo, error) {
	var names []string
	for _, e := range engines() {
		if e.name != name {
			names = append(names, e.name)
			continue
		}
		if e.missing != "" {
			return e, withCode(e.exit, unsupportedErr("--engine=%s: %s", name, e.missing))
		}
		return e, nil
	}
	return engineInfo{}, usageErr("--engine=%s: no such engine%s", name, didYouMean(name, names))
}
