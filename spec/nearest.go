package spec

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest returns up to three of the candidates that a mistyped word may have
// meant, best first: those at a small edit distance, then those that contain
// the word. Case and the prefix "bpf_" do not count.
func Nearest(word string, candidates []string) []string {
	plain := func(s string) string { return strings.TrimPrefix(strings.ToLower(s), "bpf_") }
	word = plain(word)
	if word == "" || len(word) > 64 {
		return nil
	}
	type match struct {
		name string
		cost int
	}
	limit := max(1, len(word)/3)
	var matches []match
	for _, c := range candidates {
		p := plain(c)
		if d := editDistance(word, p, limit); d <= limit {
			matches = append(matches, match{c, d})
		} else if len(word) >= 3 && strings.Contains(p, word) {
			matches = append(matches, match{c, limit + len(p) - len(word)})
		}
	}
	slices.SortStableFunc(matches, func(a, b match) int { return cmp.Compare(a.cost, b.cost) })
	var out []string
	for _, m := range matches {
		if !slices.Contains(out, m.name) {
			out = append(out, m.name)
		}
		if len(out) == 3 {
			break
		}
	}
	return out
}

// NearestTopic is Nearest over the names of all pages.
func NearestTopic(word string) []string {
	var names []string
	for _, e := range explainers {
		names = append(names, e.names()...)
	}
	return Nearest(word, names)
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b, and gives up beyond limit.
func editDistance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
