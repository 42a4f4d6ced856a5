package spec

//go:generate go run bpfvm/spec/internal/genspec -dir .

import (
	"cmp"
	"slices"
	"strings"
)

// byName finds an entry of a table that was sorted by name when it was made.
func byName[T any](index []int16, table []T, name string, key func(*T) string) (*T, bool) {
	i, ok := slices.BinarySearchFunc(index, name, func(i int16, name string) int {
		return cmp.Compare(key(&table[i]), name)
	})
	if !ok {
		return nil, false
	}
	return &table[index[i]], true
}

// sortedBy builds the index that byName wants.
func sortedBy[T any](table []T, key func(*T) string) []int16 {
	index := make([]int16, len(table))
	for i := range index {
		index[i] = int16(i)
	}
	slices.SortFunc(index, func(a, b int16) int {
		return strings.Compare(key(&table[a]), key(&table[b]))
	})
	return index
}
