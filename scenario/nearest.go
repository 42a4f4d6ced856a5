package scenario

import "strings"

// nearest returns the word of the list that is closest to what was written, or ""
// when none is close: at most a third of its letters may differ, and at least one.
func nearest(word string, list []string) string {
	best, limit := "", max(1, len(word)/3)+1
	if len(word) > 64 {
		return ""
	}
	for _, w := range list {
		if len(w) > 64 {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < limit {
			best, limit = w, d
		}
	}
	return best
}

// didYouMean is the end of a message about an unknown word.
func didYouMean(word string, list []string) string {
	if w := nearest(word, list); w != "" && w != word {
		return "; did you mean " + w + "?"
	}
	return ""
}

// distance is the number of letters to insert, delete, replace or swap with their
// neighbour to get from a to b (the restricted Damerau-Levenshtein distance).
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			cur[j+1] = min(prev[j+1]+1, cur[j]+1, prev[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cur[j+1] = min(cur[j+1], before[j-1]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
