package isa

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// AsmError is a fault in assembly text at a line and a column, both from 1.
type AsmError struct {
	File      string
	Line, Col int
	Msg       string
}

func (e *AsmError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}

// AsmErrorList holds the faults of a source, ordered by place.
type AsmErrorList []*AsmError

// maxAsmErrors bounds the list: after that many faults the assembler stops, and
// the reader is better served by a second try.
const maxAsmErrors = 20

// maxAsmMessage bounds a message, in bytes: it may quote a name of any length.
const maxAsmMessage = 300

func (l AsmErrorList) Error() string {
	words := make([]string, len(l))
	for i, e := range l {
		words[i] = e.Error()
	}
	return strings.Join(words, "\n")
}

// Unwrap lets errors.Is and errors.As look at each fault.
func (l AsmErrorList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// finish orders the list, drops repetitions and cuts it to maxAsmErrors.
func (l AsmErrorList) finish() error {
	if len(l) == 0 {
		return nil
	}
	slices.SortStableFunc(l, func(a, b *AsmError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Msg, b.Msg))
	})
	for _, e := range l {
		if len(e.Msg) > maxAsmMessage {
			e.Msg = e.Msg[:maxAsmMessage] + "..."
		}
	}
	l = slices.CompactFunc(l, func(a, b *AsmError) bool { return *a == *b })
	if len(l) > maxAsmErrors {
		last := *l[maxAsmErrors]
		last.Msg = "too many errors"
		l = append(l[:maxAsmErrors:maxAsmErrors], &last)
	}
	return l
}

// nearest finds the candidate that looks most like word, for "did you mean". It
// returns "" where nothing comes close.
func nearest(word string, candidates iter.Seq[string]) string {
	if len(word) > 64 { // nobody misspells that much by accident
		return ""
	}
	limit := max(len(word)/3, 1)
	best, bestDist := "", limit+1
	for c := range candidates {
		if len(c) < len(word)-limit || len(c) > len(word)+limit {
			continue
		}
		if d := editDistance(word, c); d < bestDist || d == bestDist && d <= limit && c < best {
			best, bestDist = c, d
		}
	}
	return best
}

// didYouMean words the suggestion, or returns "".
func didYouMean(word string, candidates iter.Seq[string]) string {
	if s := nearest(word, candidates); s != "" {
		return fmt.Sprintf("; did you mean %q?", s)
	}
	return ""
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that lead from a to b.
func editDistance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, prev, row = prev, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
