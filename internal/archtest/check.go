package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Package is what the checks need of one package, in the names of "go list -json".
type Package struct {
	ImportPath string
	Name       string
	Doc        string
	Dir        string
	Standard   bool
	Module     *struct{ Main bool }
	Imports    []string
	SFiles     []string
	CgoFiles   []string
}

// own reports whether the package belongs to this module.
func (p Package) own() bool { return p.Module != nil && p.Module.Main }

// Check returns what is wrong with the packages of this module among pkgs, by the
// rules of the table, sorted. pkgs must hold all that they import as well, since
// only "go list -deps" knows which packages are of the standard library.
func Check(layers []Layer, pkgs []Package) []string {
	standard := map[string]bool{"unsafe": true, "C": true}
	for _, p := range pkgs {
		if p.Standard {
			standard[p.ImportPath] = true
		}
	}
	var wrong []string
	for _, p := range pkgs {
		if p.own() {
			wrong = append(wrong, checkPackage(layers, p, standard)...)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func checkPackage(layers []Layer, p Package, standard map[string]bool) []string {
	path := strings.TrimPrefix(p.ImportPath, Module+"/")
	layer, ok := find(layers, path)
	if !ok {
		return []string{path + ": not in the table of layers: add it to Layers in internal/archtest/layers.go, " +
			"below what it imports, and to the table of rooms in ARCHITECTURE.md"}
	}
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, path+": "+fmt.Sprintf(format, args...)) }

	for _, imp := range p.Imports {
		own, isOwn := strings.CutPrefix(imp, Module+"/")
		switch {
		case imp == "unsafe" && !layer.Unsafe:
			add("imports unsafe, which only vm, jit and kernel may")
		case imp == "C":
			add("uses cgo; bpfvm is pure Go")
		case isOwn && !layer.allowsOwn(path, own):
			add("imports %s; its layer may import %s", own, list(layer.Imports))
		case isOwn || imp == "unsafe":
		case standard[imp]:
			// A command inside a room is a generator, which writes files.
			if isSystem(imp) && !layer.System && !slices.Contains(layer.Std, imp) && p.Name != "main" {
				add("imports %s; its layer takes its input as values and reaches nothing outside", imp)
			}
		case !layer.allowsExternal(imp):
			add("imports %s; its layer may use %s", imp, list(layer.External))
		}
	}
	if len(p.CgoFiles) > 0 {
		add("has cgo files %v; bpfvm is pure Go", p.CgoFiles)
	}
	if len(p.SFiles) > 0 && layer.Package != "jit/amd64" {
		add("has assembly %v, which only jit/amd64 may", p.SFiles)
	}
	if p.Doc == "" {
		add("has no package comment")
	}
	if slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, p.Name) {
		add("is named %s, which says nothing of what it is about", p.Name)
	}
	return wrong
}

func isSystem(imp string) bool {
	return slices.ContainsFunc(systemPackages, func(s string) bool { return below(imp, s) })
}

func list(s []string) string {
	if len(s) == 0 {
		return "nothing"
	}
	return strings.Join(s, ", ")
}
