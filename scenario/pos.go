package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a script: line and column count from 1, columns in bytes.
// The zero Pos is that of a statement which no text stands for.
type Pos struct {
	Line int `json:"line"`
	Col  int `json:"col"`
}

// Position returns the place itself, so that everything that embeds a Pos has
// one.
func (p Pos) Position() Pos { return p }

// Error is one thing wrong with an input, and where.
type Error struct {
	File string
	Pos
	Msg string
	Err error // the cause, may be nil
}

// Error gives "file:line:col: message"; parts that are not known are left out.
func (e *Error) Error() string {
	switch {
	case e.Line == 0 && e.File == "":
		return e.Msg
	case e.Line == 0:
		return e.File + ": " + e.Msg
	case e.File == "":
		return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors is everything wrong with an input, in order of place.
type Errors []*Error

// Error gives one message a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// maxErrors is where a list of errors ends: nobody reads further.
const maxErrors = 50

// sorted returns the list in order, or nil when it is empty, as an error.
func (es Errors) sorted() error {
	if len(es) == 0 {
		return nil
	}
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if len(es) > maxErrors {
		rest := len(es) - maxErrors
		last := es[maxErrors]
		es = append(es[:maxErrors:maxErrors], &Error{
			File: last.File, Pos: last.Pos, Msg: fmt.Sprintf("and %d more errors", rest),
		})
	}
	return es
}
