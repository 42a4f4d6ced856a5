package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// stanza is one entry of a table: a head line at column 0, whose words say what
// the entry is, and indented lines "key text" that describe it. A line that is
// indented deeper continues the text above it. '#' at column 0 starts a comment.
//
//	xdp 6
//		since 4.8
//		doc   Runs on every frame that a driver receives,
//			before the kernel allocates anything for it.
type stanza struct {
	line   int
	head   []string
	fields []field
}

// field is one "key text" line with its continuations.
type field struct {
	line int
	key  string
	text string
}

// tableError is a mistake in a table, with its place.
type tableError struct {
	file string
	line int
	msg  string
}

func (e *tableError) Error() string { return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.msg) }

// table is a parsed file. Its methods note mistakes in errs and go on.
type table struct {
	file    string
	stanzas []*stanza
	errs    []error
}

func (t *table) errorf(line int, format string, args ...any) {
	t.errs = append(t.errs, &tableError{t.file, line, fmt.Sprintf(format, args...)})
}

func (t *table) err() error { return errors.Join(t.errs...) }

// parseTable splits the text into stanzas.
func parseTable(file, text string) *table {
	t := &table{file: file}
	var cur *stanza
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		switch trimmed := strings.TrimLeft(line, "\t"); {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case line[0] == ' ':
			t.errorf(n, "indented with a space; tables use tabs")
		case trimmed == line:
			cur = &stanza{line: n, head: strings.Fields(line)}
			t.stanzas = append(t.stanzas, cur)
		case cur == nil:
			t.errorf(n, "text before the first entry")
		case len(line)-len(trimmed) > 1:
			if len(cur.fields) == 0 {
				t.errorf(n, "a continuation of nothing")
				break
			}
			f := &cur.fields[len(cur.fields)-1]
			f.text += " " + strings.TrimSpace(trimmed)
		default:
			key, text, _ := strings.Cut(trimmed, " ")
			cur.fields = append(cur.fields, field{n, key, strings.TrimSpace(text)})
		}
	}
	return t
}

// get returns the text of a key, or "".
func (s *stanza) get(key string) string {
	for _, f := range s.fields {
		if f.key == key {
			return f.text
		}
	}
	return ""
}

// all returns the texts of a key that may be repeated.
func (s *stanza) all(key string) []field {
	var out []field
	for _, f := range s.fields {
		if f.key == key {
			out = append(out, f)
		}
	}
	return out
}

// keys reports every field whose key is not in the list, and every field but
// the repeatable ones (marked with '*') that comes twice.
func (t *table) keys(s *stanza, allowed ...string) {
	seen := map[string]bool{}
	for _, f := range s.fields {
		many := slices.Contains(allowed, f.key+"*")
		switch {
		case !many && !slices.Contains(allowed, f.key):
			t.errorf(f.line, "unknown key %q", f.key)
		case !many && seen[f.key]:
			t.errorf(f.line, "key %q again", f.key)
		}
		seen[f.key] = true
	}
}

// number reads a decimal or 0x number.
func (t *table) number(line int, text string) int64 {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		t.errorf(line, "%q is not a number", text)
	}
	return n
}

// headNumber reads word i of the head.
func (t *table) headNumber(s *stanza, i int) int64 {
	if i >= len(s.head) {
		t.errorf(s.line, "the number is missing")
		return 0
	}
	return t.number(s.line, s.head[i])
}
