// Command pkgmap draws the packages of the module and who imports whom, as the
// go command sees them, into docs/packages.svg.
//
//	go run ./internal/tools/pkgmap        (in the module's root)
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:generate go run . ../../..

const module = "bpfvm/"

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	imports, err := list(root)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "docs", "packages.svg"), draw(imports), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pkgmap:", err)
		os.Exit(1)
	}
}

// list returns the rooms of the module, by their paths below it, with the rooms
// that each imports. A package internal to a room belongs to it; checks of the
// project itself are left out.
func list(root string) (map[string]map[string]bool, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	// The picture is the same wherever it is drawn.
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	rooms := map[string]map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return rooms, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		from := room(p.ImportPath)
		if from == "" {
			continue
		}
		if rooms[from] == nil {
			rooms[from] = map[string]bool{}
		}
		for _, i := range p.Imports {
			if to := room(i); to != "" && to != from {
				rooms[from][to] = true
			}
		}
	}
}

// room returns the room of a package, "" for what is no room of this module.
func room(path string) string {
	p, ok := strings.CutPrefix(path, module)
	if !ok || strings.HasPrefix(p, "internal/") || strings.HasPrefix(p, "testdata") || p == "isa/isatest" {
		return ""
	}
	p, _, _ = strings.Cut(p, "/internal/")
	return p
}
