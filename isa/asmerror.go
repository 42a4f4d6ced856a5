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

// maxAsmErrors bounds the list: after that many faults the reader is better
// served by a second try.
const maxAsmErrors = 20

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
	l = slices.CompactFunc(l, func(a, b *AsmError) bool { return *a == *b })
	if len(l) > maxAsmErrors {
		last := *l[maxAsmErrors]
		last.Msg = fmt.Sprintf("too many errors; %d more from here on", len(l)-maxAsmErrors)
		l = append(l[:maxAsmErrors:maxAsmErrors], &last)
	}
	return l
}

// nearest finds the candidate that looks most like word, for "did you mean". It
// returns "" where nothing comes close.
func nearest(word string, candidates iter.Seq[string]) string {
	best, bestDist := "", max(len(word)/3, 1)+1
	if len(word) > 64 { // nobody misspells that much by accident
		return ""
	}
	for c := range candidates {
		if abs(len(c)-len(word)) >= bestDist {
			continue
		}
		if d := editDistance(word, c); d < bestDist || d == bestDist && best != "" && c < best {
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

func abs(n int) int { return max(n, -n) }

// editDistance is Levenshtein's: insertions, deletions and replacements.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(diag+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
