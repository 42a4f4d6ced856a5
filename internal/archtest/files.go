package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MaxLines is the greatest length of a Go file that no generator wrote.
const MaxLines = 600

// LongFiles returns the Go files below root that are longer than limit lines,
// apart from generated ones. Folders that the go command skips are skipped.
func LongFiles(root string, limit int) ([]string, error) {
	var long []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (name == "testdata" || name[0] == '.' || name[0] == '_') {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(src, []byte("\n")); n > limit && !generated(src) {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			long = append(long, fmt.Sprintf("%s: %d lines, split it at %d", filepath.ToSlash(rel), n, limit))
		}
		return nil
	})
	return long, err
}

// generated reports whether the file says in the way that all tools know that it
// was generated (go help generate).
func generated(src []byte) bool {
	f, err := parser.ParseFile(token.NewFileSet(), "", src, parser.PackageClauseOnly|parser.ParseComments)
	return err == nil && ast.IsGenerated(f)
}

// HasExample reports whether the tests in dir hold an example that runs, which is
// one with an output to compare.
func HasExample(dir string) (bool, error) {
	tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return false, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range tests {
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return false, err
		}
		files = append(files, f)
	}
	return slices.ContainsFunc(doc.Examples(files...), func(e *doc.Example) bool {
		return e.Output != "" || e.EmptyOutput
	}), nil
}

// exempt says which packages need no example: commands, and what is internal to
// one room.
func exempt(p Package) bool {
	return p.Name == "main" || strings.Contains(strings.TrimPrefix(p.ImportPath, Module), "/internal/") &&
		!strings.HasPrefix(p.ImportPath, Module+"/internal/")
}
