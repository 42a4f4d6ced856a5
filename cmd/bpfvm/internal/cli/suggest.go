package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// nearest returns up to n candidates that look like word, best first: names that
// it begins or is part of, then names a few typing errors away.
func nearest(word string, candidates []string, n int) []string {
	type hit struct {
		name string
		dist int
	}
	var hits []hit
	low := strings.ToLower(word)
	if len(low) == 0 || len(low) > 80 {
		return nil
	}
	for _, c := range candidates {
		lc := strings.ToLower(c)
		limit := min(max(len(low)/3, 1), 3)
		switch {
		case lc == low:
			hits = append(hits, hit{c, 0})
		case strings.HasPrefix(lc, low):
			hits = append(hits, hit{c, 1})
		case len(low) >= 3 && strings.Contains(lc, low):
			hits = append(hits, hit{c, 2})
		default:
			if d := editDistance(low, lc, limit); d <= limit {
				hits = append(hits, hit{c, d})
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.dist, b.dist) })
	var out []string
	for _, h := range hits {
		if h.dist > hits[0].dist+1 {
			break
		}
		if !slices.Contains(out, h.name) && len(out) < n {
			out = append(out, h.name)
		}
	}
	return out
}

// didYouMean words the suggestion, or returns "".
func didYouMean(word string, candidates []string) string {
	near := nearest(word, candidates, 3)
	if len(near) == 0 {
		return ""
	}
	for i, s := range near {
		near[i] = fmt.Sprintf("%q", s)
	}
	if len(near) == 1 {
		return "; did you mean " + near[0] + "?"
	}
	return "; did you mean " + strings.Join(near[:len(near)-1], ", ") + " or " + near[len(near)-1] + "?"
}

// editDistance counts insertions, deletions, replacements and swaps of two
// neighbours (optimal string alignment). It gives up beyond limit.
func editDistance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], prev2[j-1]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
