package archtest

import (
	"slices"
	"strings"
)

// Module is the path of the module, and so the prefix of its packages.
const Module = "bpfvm"

// Layer says what one package may do. A package internal to it (isa/internal/...)
// has the same rights, and may import the package and its other internals.
type Layer struct {
	// Package is the path below the module; a last element "..." stands for
	// every package below.
	Package string
	// Imports are the packages of the module that it may import, below the
	// module. "*" means all but commands.
	Imports []string
	// External are the packages outside of the module and of the standard
	// library, each with all below it. Those that only tests use are not here.
	External []string
	// Unsafe allows import of unsafe: for native code and for sharing memory
	// with it or with the kernel, nowhere else.
	Unsafe bool
	// System allows files, network, clock and processes. What lacks it gets its
	// input handed in and gives the same output for the same input.
	System bool
	// Std are packages of the standard library that need System, but are granted
	// to this layer one by one.
	Std []string
}

// Modules that more than one layer uses.
const (
	btf    = "github.com/cilium/ebpf/btf"
	cilium = "github.com/cilium/ebpf"
	pcap   = "github.com/gopacket/gopacket"
	sys    = "golang.org/x/sys"
	txtar  = "golang.org/x/tools/txtar"
	x86asm = "golang.org/x/arch/x86/x86asm"
)

// Layers is the table of all packages, from the bottom up. A package imports
// only what stands above its line.
var Layers = []Layer{
	{Package: "isa"},
	{Package: "isa/isatest", Imports: []string{"isa"}}, // for the tests of other packages
	{Package: "cfg", Imports: []string{"isa"}},
	{Package: "spec", Imports: []string{"isa"}},
	{Package: "types", Imports: []string{"isa", "spec"}, External: []string{btf}},
	{Package: "vm/layout", Imports: []string{"isa", "spec"}},
	{Package: "vm", Imports: []string{"isa", "spec", "vm/layout"}, External: []string{sys}, Unsafe: true},
	{Package: "elf", Imports: []string{"isa", "spec", "types"}, External: []string{btf},
		Std: []string{"os"}}, // to open a file by its name; all else is an io.ReaderAt
	{Package: "verifier", Imports: []string{"isa", "cfg", "spec", "types"}, External: []string{btf}},
	{Package: "interp", Imports: []string{"isa", "spec", "vm", "vm/layout"}},
	{Package: "cover", Imports: []string{"isa", "spec", "vm", "interp"}},
	{Package: "jit/amd64", Imports: []string{"isa", "cfg", "spec", "vm", "vm/layout"},
		External: []string{"github.com/twitchyliquid64/golang-asm", x86asm, sys}, Unsafe: true, System: true},
	{Package: "jit", Imports: []string{"isa", "spec", "vm", "jit/amd64"}, Unsafe: true, System: true},
	{Package: "runtime", Imports: []string{"isa", "cfg", "spec", "types", "vm", "vm/layout", "verifier", "interp", "jit"},
		External: []string{btf}, System: true},
	{Package: "scenario", Imports: []string{"isa", "spec", "types", "vm", "elf", "runtime"}, External: []string{btf, pcap}, System: true},
	{Package: "trace", Imports: []string{"isa", "spec", "types", "vm", "elf", "runtime", "scenario"},
		External: []string{btf, txtar}, System: true},
	{Package: "kernel", Imports: []string{"isa", "spec", "types"}, External: []string{cilium, sys}, Unsafe: true, System: true},
	{Package: "debug", Imports: []string{"isa", "cfg", "spec", "types", "vm", "elf", "verifier", "interp", "runtime", "scenario", "trace"}, System: true},
	{Package: "difftest", Imports: []string{"*"}, External: []string{btf, txtar}, System: true},
	{Package: "unittest", Imports: []string{"isa", "spec", "types", "vm", "elf", "verifier", "interp", "jit", "runtime", "scenario"},
		External: []string{btf, "golang.org/x/tools/txtar"}, System: true},
	{Package: "bench", Imports: []string{"isa", "spec", "types", "vm", "elf", "verifier", "interp", "jit", "runtime", "scenario", "kernel"}, System: true},
	{Package: "tour", Imports: []string{"isa", "cfg", "spec", "types", "vm", "elf", "verifier", "interp", "jit", "jit/amd64", "runtime", "scenario"},
		External: []string{btf, x86asm}, System: true},
	{Package: "labs", Imports: []string{"isa", "spec", "types", "vm", "elf", "verifier", "interp", "runtime", "scenario", "trace", "debug", "unittest"},
		External: []string{"golang.org/x/tools/txtar"}, System: true},
	{Package: "internal/golden", System: true},
	{Package: "internal/archtest", System: true},
	{Package: "internal/tools/...", Imports: []string{"*"}, External: []string{pcap, cilium}, System: true},
	{Package: "cmd/...", Imports: []string{"*"}, System: true, Unsafe: false,
		External: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term", sys, btf,
			"charm.land/bubbletea/v2", "charm.land/lipgloss/v2"}},
}

// systemPackages are the packages of the standard library that reach outside of
// the program: files, network, clock, processes, signals.
var systemPackages = []string{"os", "net", "time", "syscall", "log", "plugin"}

// find returns the layer of a package, given by its path below the module.
func find(layers []Layer, pkg string) (Layer, bool) {
	pkg, _, _ = strings.Cut(pkg, "/internal/")
	for _, l := range layers {
		prefix, all := strings.CutSuffix(l.Package, "/...")
		if pkg == l.Package || all && strings.HasPrefix(pkg, prefix+"/") {
			return l, true
		}
	}
	return Layer{}, false
}

// allowsOwn reports whether a package of the layer may import another package of
// the module, both given by their paths below the module.
func (l Layer) allowsOwn(from, to string) bool {
	room, _, _ := strings.Cut(from, "/internal/")
	if to == room || strings.HasPrefix(to, room+"/internal/") {
		return true
	}
	if prefix, all := strings.CutSuffix(l.Package, "/..."); all && strings.HasPrefix(to, prefix+"/") {
		return true
	}
	if slices.Contains(l.Imports, "*") {
		return !strings.HasPrefix(to, "cmd/") && !strings.Contains(to, "/internal/")
	}
	return slices.Contains(l.Imports, to)
}

// allowsExternal reports whether the layer may import a package of another module.
func (l Layer) allowsExternal(path string) bool {
	return slices.ContainsFunc(l.External, func(allowed string) bool { return below(path, allowed) })
}

// below reports whether path is dir or inside it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}
