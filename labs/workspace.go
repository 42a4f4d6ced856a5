package labs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// stateFile remembers in the student's folder which lab it is.
const stateFile = ".lab.json"

// maxAnswer bounds what is read of a student's file in bytes.
const maxAnswer = 1 << 20

// State is what the folder remembers.
type State struct {
	Lab     int    `json:"lab,omitempty"`  // of this version of bpfvm
	File    string `json:"file,omitempty"` // or a lab of somebody else
	Student string `json:"student"`
	Hints   int    `json:"hints"` // how many were shown
}

// ErrNoLab marks a folder in which no lab was started.
var ErrNoLab = errors.New("no lab was started in this folder")

// Workspace is a student's folder. Everything in it is reached through an os.Root, so
// that no name and no link leads out of it.
type Workspace struct {
	Root  *os.Root
	State State
}

// Create makes the folder and writes what the student gets. Files that are there
// already are left alone: the error lists them.
func Create(dir string, e *Exercise, st State) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Stat(stateFile); err == nil {
		return fmt.Errorf("%s: a lab was started here already", dir)
	}
	for _, name := range e.Files() {
		if _, err := root.Lstat(name); err == nil {
			return fmt.Errorf("%s: %s is there already: %w", dir, name, fs.ErrExist)
		}
	}
	for _, name := range e.Files() {
		if err := root.WriteFile(name, e.File(name), 0o666); err != nil {
			return err
		}
	}
	w := &Workspace{root, st}
	return w.Save()
}

// Open opens a folder that Create made. Close it when done.
func Open(dir string) (*Workspace, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	w := &Workspace{Root: root}
	b, err := w.Read(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w", dir, ErrNoLab)
	} else if err == nil {
		err = json.Unmarshal(b, &w.State)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return w, nil
}

// Close releases the folder.
func (w *Workspace) Close() error { return w.Root.Close() }

// Save writes the state down.
func (w *Workspace) Save() error {
	b, err := json.Marshal(w.State)
	if err != nil {
		return err
	}
	return w.Root.WriteFile(stateFile, append(b, '\n'), 0o666)
}

// Read reads a file of the folder.
func (w *Workspace) Read(name string) ([]byte, error) {
	f, err := w.Root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("%s: more than %d bytes", name, maxAnswer)
	}
	return b, err
}

// Reset writes a file, or all that may be edited, as it was at the start.
func (w *Workspace) Reset(e *Exercise, names ...string) error {
	if len(names) == 0 {
		names = e.Edit
	}
	for _, n := range names {
		if !slices.Contains(e.Files(), n) {
			return fmt.Errorf("the lab has no file %s", n)
		}
		if err := w.Root.WriteFile(n, e.File(n), 0o666); err != nil {
			return err
		}
	}
	return nil
}
