package elf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Sentinels to match with errors.Is. A construct that is well formed but that
// this package does not read wraps errors.ErrUnsupported instead.
var (
	// ErrFormat marks bytes that are not what the format says they are.
	ErrFormat = errors.New("malformed object")
	// ErrTooLarge marks objects whose contents, once taken apart, would need far
	// more memory than their size: such objects are made to harm their reader.
	ErrTooLarge = errors.New("object expands to too much memory")
	// ErrNotELF marks input that does not begin with the ELF magic.
	ErrNotELF = errors.New("not an ELF file")
	// ErrUndefined marks symbols that no section of the object defines and that
	// the kernel does not provide either: they are in another object.
	ErrUndefined = errors.New("undefined symbol")
	// ErrNoBTF marks what cannot be understood without a .BTF section.
	ErrNoBTF = errors.New("object has no BTF")
)

// SectionError is a fault in one section of the object.
type SectionError struct {
	Section string
	Off     int64  // bytes from the start of the section; -1 when not one place
	Symbol  string // the symbol concerned, or empty
	Err     error
}

func (e *SectionError) Error() string {
	return place("section "+quoteName(e.Section), e.Off, e.Symbol) + ": " + e.Err.Error()
}

func (e *SectionError) Unwrap() error { return e.Err }

// MapError says why a map of the object cannot be used.
type MapError struct {
	Map     string
	Section string
	Off     int64 // of the definition in its section; -1 when it has none
	Err     error
}

func (e *MapError) Error() string {
	return place(e.Section, e.Off, "") + ": map " + quoteName(e.Map) + ": " + e.Err.Error()
}

func (e *MapError) Unwrap() error { return e.Err }

// ProgramError says why a program of the object cannot be used. The fault may
// lie in a subprogram that the program reaches: Func and Section then name the
// subprogram's, which is where Off counts.
type ProgramError struct {
	Program string
	Func    string // the function at fault; the program itself in most cases
	Section string
	Off     int64  // bytes from the start of the section; -1 when not one place
	Symbol  string // the symbol that the instruction refers to, or empty
	Err     error
}

func (e *ProgramError) Error() string {
	at := place(e.Section, e.Off, "")
	if e.Func != "" && e.Func != e.Program {
		at += ": program " + quoteName(e.Program) + ": subprogram " + quoteName(e.Func)
	} else {
		at += ": program " + quoteName(e.Program)
	}
	if e.Symbol != "" {
		at += ": symbol " + quoteName(e.Symbol)
	}
	return at + ": " + e.Err.Error()
}

func (e *ProgramError) Unwrap() error { return e.Err }

// ErrorList holds every fault found, in the order of the file.
type ErrorList []error

func (l ErrorList) Error() string {
	lines := make([]string, len(l))
	for i, err := range l {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look at every entry.
func (l ErrorList) Unwrap() []error { return l }

// Programs returns the refusals of programs in the list.
func (l ErrorList) Programs() []*ProgramError {
	var out []*ProgramError
	for _, err := range l {
		if pe, ok := errors.AsType[*ProgramError](err); ok {
			out = append(out, pe)
		}
	}
	return out
}

// err returns nil for an empty list, so that a list can be returned as error.
func (l ErrorList) err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// maxErrors bounds how many faults are kept: an object with a thousand broken
// symbols is as broken as one with a hundred.
const maxErrors = 100

func (l *ErrorList) add(err error) {
	if err == nil || len(*l) > maxErrors {
		return
	}
	if len(*l) == maxErrors {
		err = fmt.Errorf("more than %d faults, the rest is not listed: %w", maxErrors, ErrFormat)
	}
	*l = append(*l, err)
}

// compact returns the list without repeated texts.
func (l ErrorList) compact() ErrorList {
	seen := make(map[string]bool, len(l))
	return slices.DeleteFunc(l, func(err error) bool {
		s := err.Error()
		if seen[s] {
			return true
		}
		seen[s] = true
		return false
	})
}

func formatErr(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrFormat)...)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errors.ErrUnsupported)...)
}

func place(section string, off int64, symbol string) string {
	s := section
	if off >= 0 {
		s += fmt.Sprintf("+%#x", off)
	}
	if symbol != "" {
		s += ": symbol " + quoteName(symbol)
	}
	return s
}

// quoteName quotes a name out of the file; names have any length and any bytes.
func quoteName(s string) string { return strconv.Quote(shortName(s)) }

func shortName(s string) string {
	const longest = 128
	if len(s) > longest {
		return s[:longest] + "..."
	}
	return s
}
