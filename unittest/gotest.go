package unittest

import (
	"context"
	"io/fs"
	"path"
)

// TB is what Run needs of a *testing.T. Taking it as an interface keeps package
// testing out of programs that run tests in other ways.
type TB[T any] interface {
	Helper()
	Run(name string, f func(T)) bool
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Logf(format string, args ...any)
}

// Run runs every test file of the file system as subtests of t: one a file, below it
// one a case and engine. Archives that name no object are left alone.
func Run[T TB[T]](t T, fsys fs.FS) { RunWith(t, fsys, Options{}) }

// RunWith is Run with options. Options.Read may stay nil: files are then those of the
// file system.
func RunWith[T TB[T]](t T, fsys fs.FS, o Options) {
	t.Helper()
	if o.Read == nil {
		o.Read = func(name string) ([]byte, error) { return fs.ReadFile(fsys, name) }
	}
	found := 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".txtar" {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil || !IsTest(text) {
			return err
		}
		found++
		t.Run(name, func(t T) { runFile(t, name, text, o) })
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if found == 0 {
		t.Errorf("no test file: want .txtar files with an \"object\" statement")
	}
}

func runFile[T TB[T]](t T, name string, text []byte, o Options) {
	f, err := Parse(name, text)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, r := range f.Run(context.Background(), o) {
		t.Run(r.Name(), func(t T) {
			switch r.Status {
			case Pass:
			case Skip:
				t.Skipf("%s", r.Reason)
			default:
				t.Errorf("%s", r)
			}
		})
	}
}
