package cli

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bpfvm/scenario"
)

var update = flag.Bool("update", false, "write golden files anew")

// documents are all that -j prints.
var documents = map[string]any{
	"inspect": inspectDoc{},
	"disasm":  disasmDoc{},
	"asm":     asmDoc{},
	"verify":  verifyDoc{},
	"kernel":  kernelDoc{},
	"run":     runDoc{},
	"step":    stepDoc{},
	"test":    unittestDoc{},
	"diff":    diffDoc{},

	"diff-verdicts": verdictsDoc{},
	"diff-jit":      jitDoc{},

	"tour":    tourDoc{},
	"bench":   benchDoc{},
	"labs":    labsDoc{},
	"explain": explainDoc{},
	"doctor":  doctorDoc{},
	"version": versionDoc{},
	"error":   errorDoc{},
}

// notes explain properties whose name does not say all.
var notes = map[string]string{
	"schema":    "name of this document's schema",
	"version":   "of the schema; grows when a field changes its meaning",
	"slot":      "index of an 8-byte instruction slot in the program; in sections, from the section's start; -1 for none",
	"insns":     "instructions; one of two slots counts once",
	"bytes":     "in hexadecimal",
	"exit":      "the exit code of bpfvm",
	"functions": "the program itself, then its subprograms",
	"before":    "in the object",
	"after":     "in the program",
	"object":    "path of the file",
	"offset":    "in bytes",
	"elements":  "number of initial elements",
}

// TestSchemas holds the published schemas to the structs that are printed.
func TestSchemas(t *testing.T) {
	for name, doc := range documents {
		s := schemaOf(reflect.TypeOf(doc))
		s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		s["$id"] = "bpfvm/" + name
		s["title"] = "what bpfvm " + name + " -j prints"
		if name == "error" {
			s["title"] = "what -j prints when a verb could not do its work"
		}
		s["properties"].(map[string]any)["schema"] = map[string]any{"const": "bpfvm/" + name}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("schema", name+".json")
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := schemaFiles.ReadFile("schema/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.ReplaceAll(have, []byte("\r\n"), []byte("\n")), b.Bytes()) {
			t.Errorf("%s is stale: go test -update", path)
		}
	}
	names, err := schemaNames()
	if err != nil {
		t.Fatal(err)
	}
	if !*update && len(names) != len(documents) {
		t.Errorf("schemas %v, documents %d", names, len(documents))
	}
}

// custom are the schemas of types that print themselves.
var custom = map[reflect.Type]string{
	reflect.TypeFor[scenario.PacketResult](): `{"type":"object","required":["summary","change","before"],"properties":{
		"summary":{"type":"string","description":"of the packet as it came: 60B eth/arp"},
		"change":{"type":"string","description":"what the program did to it, in words"},
		"before":{"type":"string","description":"hex"},"after":{"type":"string","description":"hex; only when it differs"},
		"diff":{"type":"object","required":["before","after"],"properties":{"before":{"type":"integer","description":"bytes"},"after":{"type":"integer","description":"bytes"},
			"ranges":{"type":"array","items":{"type":"object","required":["off","len"],"properties":{"off":{"type":"integer"},"len":{"type":"integer"}}}},
			"fields":{"type":"array","items":{"type":"object","required":["name","before","after"],"properties":{"name":{"type":"string"},"before":{"type":"string"},"after":{"type":"string"}}}},
			"removed":{"type":"array","items":{"type":"string"}},"added":{"type":"array","items":{"type":"string"}}}}}}`,
	reflect.TypeFor[scenario.Record](): `{"type":"object","required":["map","cpu","time_ns","data"],"properties":{
		"map":{"type":"string"},"cpu":{"type":"integer"},"time_ns":{"type":"integer"},"data":{"type":"string","description":"hex"},
		"type":{"type":"string","description":"of the data, where the object's BTF has it"},"value":{}}}`,
	reflect.TypeFor[scenario.MapChange](): `{"type":"object","required":["map","kind","key"],"properties":{
		"map":{"type":"string"},"kind":{"type":"string","description":"added, removed or changed"},"key":{},"before":{},"after":{}}}`,
	reflect.TypeFor[scenario.Snapshot](): `{"type":"object","description":"elements by map, keys and values by their BTF types; those of queues and stacks have no key",
		"additionalProperties":{"type":"array","items":{"type":"object","required":["value"],"properties":{"key":{},"value":{}}}}}`,
}

// schemaOf derives a schema from a Go type as encoding/json prints it.
func schemaOf(t reflect.Type) map[string]any {
	if text, ok := custom[t]; ok {
		var s map[string]any
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			panic(err)
		}
		return s
	}
	if t.Kind() != reflect.Pointer && t.Implements(reflect.TypeFor[json.Marshaler]()) {
		panic("no schema for " + t.String())
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Interface:
		return map[string]any{}
	case reflect.Struct:
		props, required := map[string]any{}, []string{}
		addFields(t, props, &required)
		return map[string]any{"type": "object", "properties": props, "required": required}
	}
	return map[string]any{"type": "integer"}
}

func addFields(t reflect.Type, props map[string]any, required *[]string) {
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		if f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct {
			addFields(f.Type, props, required)
			continue
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		name, opts, _ := strings.Cut(tag, ",")
		s := schemaOf(f.Type)
		if note := notes[name]; note != "" && s["type"] != nil {
			s["description"] = note
		}
		props[name] = s
		if !strings.Contains(opts, "omit") {
			*required = append(*required, name)
		}
	}
}

// validate checks a document against a schema; properties that the schema does
// not have are faults, which readers of documents should not copy.
func validate(schema map[string]any, v any, at string) []string {
	var faults []string
	fault := func(format string, args ...any) {
		faults = append(faults, at+": "+fmt.Sprintf(format, args...))
	}
	if c, ok := schema["const"]; ok && c != v {
		fault("%v, want %v", v, c)
	}
	switch schema["type"] {
	case "object":
		obj, ok := v.(map[string]any)
		if !ok {
			fault("%T is no object", v)
			break
		}
		required, _ := schema["required"].([]any)
		for _, r := range required {
			if _, ok := obj[r.(string)]; !ok {
				fault("%q is missing", r)
			}
		}
		props, _ := schema["properties"].(map[string]any)
		rest, _ := schema["additionalProperties"].(map[string]any)
		for name, val := range obj {
			if s, ok := props[name].(map[string]any); ok {
				faults = append(faults, validate(s, val, at+"."+name)...)
			} else if rest != nil {
				faults = append(faults, validate(rest, val, at+"."+name)...)
			} else {
				fault("%q is not in the schema", name)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			fault("%T is no array", v)
			break
		}
		items, _ := schema["items"].(map[string]any)
		for i, val := range list {
			faults = append(faults, validate(items, val, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "string":
		if _, ok := v.(string); !ok {
			fault("%v is no string", v)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			fault("%v is no boolean", v)
		}
	case "integer":
		if n, ok := v.(json.Number); !ok || strings.ContainsAny(n.String(), ".eE") {
			fault("%v is no integer", v)
		}
	case "number":
		if _, ok := v.(json.Number); !ok {
			fault("%v is no number", v)
		}
	}
	slices.Sort(faults)
	return faults
}

// checkDocument validates one printed document and returns what is wrong.
func checkDocument(name string, text []byte) []string {
	raw, err := schemaFiles.ReadFile("schema/" + name + ".json")
	if err != nil {
		return []string{err.Error()}
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		return []string{err.Error()}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return []string{"not JSON: " + err.Error()}
	}
	if dec.More() {
		return []string{"more than one document"}
	}
	return validate(schema, doc, name)
}

// TestValidate makes sure that the validator finds faults at all.
func TestValidate(t *testing.T) {
	good := `{"schema":"bpfvm/error","version":1,"exit":3,"kind":"input","error":"x"}`
	if faults := checkDocument("error", []byte(good)); faults != nil {
		t.Errorf("%v", faults)
	}
	for _, bad := range []string{
		``, `[]`, good + good,
		`{"schema":"bpfvm/run","version":1,"exit":3,"kind":"input","error":"x"}`,
		`{"schema":"bpfvm/error","version":1,"exit":3.5,"kind":"input","error":"x"}`,
		`{"schema":"bpfvm/error","version":1,"exit":3,"kind":"input"}`,
		`{"schema":"bpfvm/error","version":1,"exit":3,"kind":"input","error":"x","more":1}`,
	} {
		if checkDocument("error", []byte(bad)) == nil {
			t.Errorf("%s: no fault found", bad)
		}
	}
}
