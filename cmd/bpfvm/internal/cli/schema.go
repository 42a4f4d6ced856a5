package cli

import "embed"

// schemaFiles holds the JSON Schema of every document, published with the binary
// through "bpfvm explain schema:VERB".
//
//go:embed schema/*.json
var schemaFiles embed.FS
