package isa

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestLargeSources assembles half a megabyte of each kind of line that could cost
// more than its length. The limit is generous: all of them take well under a
// second where nothing is quadratic.
func TestLargeSources(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const size = 1 << 19
	lines := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(strings.ReplaceAll(format, "%", fmt.Sprint(i)))
		}
		return b.String()
	}
	for name, src := range map[string]string{
		"instructions":   lines("r1 += %\n"),
		"hashes":         "x" + strings.Repeat("#", size),
		"open comments":  strings.Repeat("/*", size/2),
		"quotes":         strings.Repeat("\"", size),
		"labels in line": strings.Repeat("a: ", size/3),
		"labels":         lines("a%:\n"),
		"bad words":      lines("x%\n"),
		"jumps":          lines("a%: if r1 == 0 goto a%\n"),
		"undefined":      lines("goto a%\n"),
		"functions":      lines(".func f%\ncall f%\nexit\n"),
		"maps":           lines(".map m% type=hash\nr1 = map[m%]\n"),
		"data":           lines(".data d% 1\nr1 = data[d%]\n"),
		"sections":       lines(".section s%\nexit\n"),
		"slot numbers":   lines("%: r0 = 0\n"),
		"one slot":       lines("0: r0 = 0\n"),
		"distant slots":  lines("%%: r0 = 0\n"),
		"hex":            "r1 = 0x" + strings.Repeat("f", size),
		"dump noise":     "0: R" + strings.Repeat("1 ", size/2),
		"zero":           lines(".data d% 0\n.zero 1000000\n"),
	} {
		start := time.Now()
		_, err := Assemble(name, []byte(src), testOptions)
		d := time.Since(start)
		if err != nil && len(err.Error()) > 1<<14 {
			t.Errorf("%s: error of %d bytes", name, len(err.Error()))
		}
		if testing.Verbose() {
			t.Logf("%-15s %8v", name, d.Round(time.Millisecond))
		}
		if d > 10*time.Second {
			t.Errorf("%s: %v (error %v)", name, d, err != nil)
		}
	}
}
