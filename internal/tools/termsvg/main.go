// Command termsvg draws what a command prints on a terminal as an SVG picture,
// for the README. The commands and the files are the table below; all output of
// bpfvm is the same on every run, so the pictures only change when it does.
//
//	go run ./internal/tools/termsvg        (in the module's root)
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:generate go run . ../../..

// picture is one command and what of its output is shown.
type picture struct {
	file        string
	args        string // of bpfvm
	first, last int    // lines of the output, from 1
}

var pictures = []picture{
	{"run-kmem.svg", "run testdata/kmem/kmem_modern.bpf.o --events testdata/kmem/kmem.events", 36, 62},
	{"run-xdp.svg", "run testdata/xdp/firewall.bpf.o --pcap testdata/xdp/packets.pcap", 1, 18},
	{"disasm.svg", "disasm testdata/kmem/kmem_modern.bpf.o:on_free -S", 8, 30},
}

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	for _, p := range pictures {
		svg, err := draw(root, p)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "docs", p.file), svg, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "termsvg:", p.file+":", err)
			os.Exit(1)
		}
	}
}

// draw runs the command of a picture and renders it.
func draw(root string, p picture) ([]byte, error) {
	args := append([]string{"run", "./cmd/bpfvm"}, strings.Fields(p.args)...)
	cmd := exec.CommandContext(context.Background(), "go", append(args, "-q", "--color=always")...)
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("bpfvm %s: %w", p.args, err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) < p.last {
		return nil, fmt.Errorf("bpfvm %s: %d lines of output, want %d", p.args, len(lines), p.last)
	}
	shown := lines[p.first-1 : p.last]
	if p.first > 1 {
		shown = append([]string{"\x1b[2m...\x1b[0m"}, shown...)
	}
	if p.last < len(lines) {
		shown = append(shown, "\x1b[2m...\x1b[0m")
	}
	return render("$ bpfvm "+p.args, shown), nil
}
