package archtest

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
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// The verifier proves things about programs; it must not depend on what runs them.
func ExampleCheck() {
	main := &struct{ Main bool }{true}
	for _, wrong := range Check(Layers, []Package{
		{ImportPath: "bpfvm/verifier", Name: "verifier", Doc: "Package verifier ...", Module: main,
			Imports: []string{"bpfvm/isa", "bpfvm/vm"}},
	}) {
		fmt.Println(wrong)
	}
	// Output:
	// verifier: imports vm; its layer may import isa, cfg, spec, types
}

// goList lists the packages of the module and all that they import, for a system
// written as GOOS/GOARCH.
func goList(t *testing.T, system string) []Package {
	t.Helper()
	goos, goarch, _ := strings.Cut(system, "/")
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Name,Doc,Dir,Standard,Module,Imports,SFiles,CgoFiles", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestLayers(t *testing.T) {
	for _, system := range []string{"linux/amd64", "linux/arm64", "windows/amd64", "js/wasm"} {
		t.Run(strings.ReplaceAll(system, "/", "-"), func(t *testing.T) {
			t.Parallel()
			for _, wrong := range Check(Layers, goList(t, system)) {
				t.Error(wrong)
			}
		})
	}
}

func TestEveryPackageHasAnExample(t *testing.T) {
	for _, p := range goList(t, "linux/amd64") {
		if !p.own() || exempt(p) {
			continue
		}
		ok, err := HasExample(p.Dir)
		if err != nil {
			t.Errorf("%s: %v", p.ImportPath, err)
		} else if !ok {
			t.Errorf("%s: no runnable Example (a func Example... with an Output comment in a _test.go file)", p.ImportPath)
		}
	}
}

func TestNoLongFiles(t *testing.T) {
	long, err := LongFiles(root, MaxLines)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range long {
		t.Error(l)
	}
}

// The table itself: each line imports only what stands above it, so that there is
// no cycle and no package can be added out of order.
func TestTablePointsUp(t *testing.T) {
	above := map[string]bool{}
	for _, l := range Layers {
		for _, imp := range l.Imports {
			if imp != "*" && !above[imp] {
				t.Errorf("%s may import %s, which does not stand above it", l.Package, imp)
			}
		}
		if above[l.Package] {
			t.Errorf("%s stands in the table twice", l.Package)
		}
		above[l.Package] = true
	}
}

// Each rule can fail, and the rights that a layer has are not taken from it.
func TestCheck(t *testing.T) {
	layers := []Layer{
		{Package: "low"},
		{Package: "high", Imports: []string{"low"}, External: []string{"example.com/dep"}, Unsafe: true, System: true},
		{Package: "middle", Std: []string{"os"}},
		{Package: "internal/tools/...", Imports: []string{"*"}},
	}
	std := []Package{{ImportPath: "fmt", Standard: true}, {ImportPath: "os", Standard: true}, {ImportPath: "os/exec", Standard: true}}
	main := &struct{ Main bool }{true}
	for _, c := range []struct {
		name string
		pkg  Package
		want []string
	}{
		{"standard library", Package{ImportPath: "bpfvm/low", Imports: []string{"fmt"}}, nil},
		{"all rights used", Package{ImportPath: "bpfvm/high", Imports: []string{"bpfvm/low", "example.com/dep/sub", "os", "unsafe"}}, nil},
		{"one right of the system", Package{ImportPath: "bpfvm/middle", Imports: []string{"os"}}, nil},
		{"and no other", Package{ImportPath: "bpfvm/middle", Imports: []string{"os/exec"}},
			[]string{"middle: imports os/exec; its layer takes its input as values and reaches nothing outside"}},
		{"own internals", Package{ImportPath: "bpfvm/low", Imports: []string{"bpfvm/low/internal/a"}}, nil},
		{"internals of the same room", Package{ImportPath: "bpfvm/low/internal/b", Imports: []string{"bpfvm/low", "bpfvm/low/internal/a"}}, nil},
		{"generators write files", Package{ImportPath: "bpfvm/low/internal/gen", Name: "main", Imports: []string{"os"}}, nil},
		{"everything", Package{ImportPath: "bpfvm/internal/tools/x", Imports: []string{"bpfvm/low", "bpfvm/high"}}, nil},
		{"down", Package{ImportPath: "bpfvm/low", Imports: []string{"bpfvm/high"}},
			[]string{"low: imports high; its layer may import nothing"}},
		{"internals of another room", Package{ImportPath: "bpfvm/high", Imports: []string{"bpfvm/low/internal/a"}},
			[]string{"high: imports low/internal/a; its layer may import low"}},
		{"other module", Package{ImportPath: "bpfvm/high", Imports: []string{"example.com/dependable"}},
			[]string{"high: imports example.com/dependable; its layer may use example.com/dep"}},
		{"system", Package{ImportPath: "bpfvm/low", Imports: []string{"os/exec"}},
			[]string{"low: imports os/exec; its layer takes its input as values and reaches nothing outside"}},
		{"unsafe", Package{ImportPath: "bpfvm/low", Imports: []string{"unsafe"}},
			[]string{"low: imports unsafe, which only vm, jit and kernel may"}},
		{"assembly", Package{ImportPath: "bpfvm/low", SFiles: []string{"a.s"}},
			[]string{"low: has assembly [a.s], which only jit/amd64 may"}},
		{"cgo", Package{ImportPath: "bpfvm/low", CgoFiles: []string{"a.go"}},
			[]string{"low: has cgo files [a.go]; bpfvm is pure Go"}},
		{"comment", Package{ImportPath: "bpfvm/low", Doc: "-"}, []string{"low: has no package comment"}},
		{"name", Package{ImportPath: "bpfvm/internal/tools/x", Name: "util"},
			[]string{"internal/tools/x: is named util, which says nothing of what it is about"}},
		{"not in the table", Package{ImportPath: "bpfvm/new"},
			[]string{"new: not in the table of layers: add it to Layers in internal/archtest/layers.go, " +
				"below what it imports, and to the table of rooms in ARCHITECTURE.md"}},
	} {
		p := c.pkg
		p.Module = main
		switch p.Doc {
		case "":
			p.Doc = "Package x has a comment."
		case "-":
			p.Doc = ""
		}
		if diff := cmp.Diff(c.want, Check(layers, append(std, p))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestLongFiles(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("// line\n", 20)
	for name, src := range map[string]string{
		"ok.go":            "package p\n",
		"long.go":          "package p\n" + long,
		"long_test.go":     "package p\n" + long,
		"zlong.go":         "// Code generated by x. DO NOT EDIT.\n\npackage p\n" + long,
		"notes.txt":        long,
		"testdata/case.go": "package p\n" + long,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := LongFiles(dir, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"long.go: 21 lines, split it at 10", "long_test.go: 21 lines, split it at 10"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHasExample(t *testing.T) {
	for src, want := range map[string]bool{
		"func ExampleX() {\n\t// Output: 1\n}":        true,
		"func ExampleX() {\n\t// Output:\n}":          true,
		"func ExampleX() {\n}":                        false, // compiles, never runs
		"func TestX(t *testing.T) {\n\t// Output:\n}": false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x_test.go"), []byte("package p\n\n"+src+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := HasExample(dir); got != want || err != nil {
			t.Errorf("%s: %t, %v, want %t", src, got, err, want)
		}
	}
}
