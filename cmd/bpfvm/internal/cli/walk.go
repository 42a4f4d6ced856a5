package cli

import (
	"errors"
	"fmt"

	"bpfvm/elf"
)

// refusal is something that could not be read, and why.
type refusal struct {
	Object string `json:"object"`
	// What is "object", "program", "map" or "section".
	What  string `json:"what"`
	Name  string `json:"name,omitempty"`
	Error string `json:"error"`
	Exit  int    `json:"exit"` // the code that stands for the reason: 3 or 4
}

// eachObject calls do for the object at path, or for each one below a directory.
// In a directory nothing is fatal: what cannot be read is added to refused, told
// and counted. For a single object its refused parts go there.
func (a *app) eachObject(path string, refused *[]refusal, do func(*object) error) error {
	if !isDir(path) {
		o, err := a.open(path)
		if err != nil {
			return err
		}
		*refused = append(*refused, refusals(o)...)
		a.tellRefused(*refused)
		return do(o)
	}
	paths, err := objectsBelow(path)
	if err != nil {
		return err
	}
	bad := 0
	for _, p := range paths {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		o, err := a.open(p)
		if err == nil {
			*refused = append(*refused, refusals(o)...)
			a.tellRefused(refusals(o))
			err = do(o)
		}
		if err != nil {
			bad++
			r := refusal{Object: display(p), What: "object", Error: err.Error(), Exit: exitCode(err)}
			*refused = append(*refused, r)
			a.tellRefused([]refusal{r})
		}
	}
	a.progress("%s, %d unreadable", plural(len(paths), "object"), bad)
	if len(paths) == 0 {
		return inputErr("%s: no objects below this directory", path)
	}
	return nil
}

// tellRefused names on stderr what was left out.
func (a *app) tellRefused(list []refusal) {
	for _, r := range list {
		at := ""
		if r.What != "object" {
			at = r.Object + ": "
		}
		a.warn("%s%s", at, r.Error)
	}
}

// refusals lists the parts of an object that cannot be used.
func refusals(o *object) []refusal {
	out := []refusal{}
	for _, err := range o.refused {
		r := refusal{Object: display(o.path), What: "section", Error: err.Error(), Exit: exitCode(err)}
		if pe, ok := errors.AsType[*elf.ProgramError](err); ok {
			r.What, r.Name = "program", pe.Program
		} else if me, ok := errors.AsType[*elf.MapError](err); ok {
			r.What, r.Name = "map", me.Map
		} else if se, ok := errors.AsType[*elf.SectionError](err); ok {
			r.Name = se.Section
		}
		out = append(out, r)
	}
	return out
}

// refusedErr is the error of a verb that did what it could on one object of which
// parts are refused.
func refusedErr(list []refusal) error {
	for _, r := range list {
		if r.What == "program" {
			return withCode(r.Exit, fmt.Errorf("%s: %w", r.Object, errAnswered))
		}
	}
	return nil
}

// suggest sets the command to try next on a file; standard input is gone by then.
func (a *app) suggest(path, line string) {
	if path != "-" {
		a.next = line
	}
}
