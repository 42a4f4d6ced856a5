package cli

import (
	"fmt"
	"strings"
)

// exitTopics explains bpfvm's own exit codes.
func exitTopics() []topic {
	var out []topic
	for _, m := range exitMeaning {
		t := topic{Group: "exits", Name: m.word, Title: fmt.Sprintf("exit code %d", m.code), Text: m.text}
		t.aliases = []string{fmt.Sprintf("exit%d", m.code), fmt.Sprintf("exit-%d", m.code)}
		out = append(out, t)
	}
	return out
}

// schemaTopics has the JSON Schema of each document.
func schemaTopics() []topic {
	names, err := schemaNames()
	if err != nil {
		panic(err) // the files are part of the binary
	}
	var out []topic
	for _, n := range names {
		b, err := schemaFiles.ReadFile("schema/" + n + ".json")
		if err != nil {
			panic(err)
		}
		out = append(out, topic{Group: "schema", Name: "schema:" + n, Title: "JSON Schema of what -j prints",
			Code: strings.Split(strings.TrimRight(string(b), "\n"), "\n"), aliases: []string{n}})
	}
	return out
}
