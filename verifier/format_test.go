package verifier

import "testing"

func TestFormatFits(t *testing.T) {
	for _, c := range []struct {
		format string
		args   int
		want   bool
	}{
		{"plain text", 0, true},
		{"100%%", 0, true},
		{"%d %08llx %-5lu", 3, true},
		{"%d", 0, false},
		{"%s %c", 2, true},
		{"%p, %px %pI4 %pi6 %pks %pus %pB %pS", 8, true},
		{"%pz", 1, false},
		{"%pks", 1, true},
		{"%pk", 1, false},
		{"%f", 1, false},
		{"%", 1, false},
		{"%lld", 1, true},
		{"%llld", 1, false},
		{"\x80", 0, false},
		{"\x01", 0, false},
		{"a\nb\t", 0, true},
		{"%d\x00%f", 1, true}, // ends at the NUL
	} {
		if got := formatFits([]byte(c.format), c.args); got != c.want {
			t.Errorf("%q with %d values: %v", c.format, c.args, got)
		}
	}
}
