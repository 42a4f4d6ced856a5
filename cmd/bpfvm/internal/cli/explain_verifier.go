package cli

import (
	"strings"

	"bpfvm/verifier"
)

// verifierTopics explains the verifier's codes.
func verifierTopics() []topic {
	var out []topic
	for _, e := range verifier.Explanations() {
		t := topic{Group: "verifier", Name: string(e.Code), Title: e.Title, Text: e.Why}
		t.aliases = []string{strings.ToLower(string(e.Code))}
		t.add("kernel", e.Kernel)
		t.add("helps", e.Hint)
		out = append(out, t)
	}
	return out
}
