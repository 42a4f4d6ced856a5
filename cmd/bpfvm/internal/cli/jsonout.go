package cli

import (
	"encoding/json"
	"fmt"
)

// docVersion is the version of all documents; it grows when a field changes its
// meaning or goes away, not when one is added.
const docVersion = 1

// docHead is what every document begins with.
type docHead struct {
	Schema  string `json:"schema"`  // "bpfvm/inspect": see "bpfvm explain schema:inspect"
	Version int    `json:"version"` // of the schema
}

func head(verb string) docHead { return docHead{Schema: "bpfvm/" + verb, Version: docVersion} }

// errorDoc is the document of a verb that could not do its work.
type errorDoc struct {
	docHead
	Exit  int    `json:"exit"`
	Kind  string `json:"kind"`
	Error string `json:"error"`
}

// writeJSON prints one document on stdout.
func (a *app) writeJSON(doc any) {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	if a.flags.pretty {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(doc); err != nil {
		panic(fmt.Sprintf("encode %T: %v", doc, err))
	}
}
