package objects

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Entry is one line of the table.
type Entry struct {
	Object  string   // path below testdata
	Source  string   // path below testdata
	Accept  bool     // whether Linux 6.18 loads every program of it
	Debug   Debug    // what was compiled in for debuggers and BTF
	Flags   []string // further flags for clang
	LineNum int      // in the table, from 1
}

// Debug says which debugging sections an object has.
type Debug string

// The words for Debug in the table.
const (
	DebugNone  Debug = "none"  // no -g: neither BTF nor DWARF
	DebugStrip Debug = "strip" // BTF; DWARF taken out
	DebugKeep  Debug = "keep"  // both
)

// ErrTable is wrapped by every error about a malformed table.
var ErrTable = errors.New("malformed table of objects")

// Read parses a table: five or more fields on a line, empty lines and lines that
// begin with # aside. It returns all errors, in the order of lines.
func Read(r io.Reader) ([]Entry, error) {
	var entries []Entry
	var errs []error
	scan := bufio.NewScanner(r)
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseLine(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w: %w", n, ErrTable, err))
			continue
		}
		e.LineNum = n
		entries = append(entries, e)
	}
	if err := scan.Err(); err != nil {
		errs = append(errs, err)
	}
	return entries, errors.Join(errs...)
}

func parseLine(line string) (Entry, error) {
	f := strings.Fields(line)
	if len(f) < 5 {
		return Entry{}, fmt.Errorf("%d fields, want object, source, verdict, dwarf, flags", len(f))
	}
	e := Entry{Object: f[0], Source: f[1], Debug: Debug(f[3]), Flags: f[4:]}
	switch f[2] {
	case "accept":
		e.Accept = true
	case "reject":
	default:
		return Entry{}, fmt.Errorf("verdict %q, want accept or reject", f[2])
	}
	switch e.Debug {
	case DebugNone, DebugStrip, DebugKeep:
	default:
		return Entry{}, fmt.Errorf("dwarf %q, want none, strip or keep", f[3])
	}
	return e, nil
}
