package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

func emitMapTypes(e *emitter) {
	e.pf("var mapTypes = [...]MapTypeInfo{\n")
	for i, s := range e.stanzas {
		e.keys(s, "kernel", "since", "key", "value", "entries", "sizes", "flags", "must", "btf", "helpers", "source", "doc")
		if n := e.headNumber(s, 1); n != int64(i) {
			e.errorf(s.line, "map type %d stands at place %d", n, i)
		}
		kernel := s.get("kernel")
		if kernel == "" {
			kernel = "BPF_MAP_TYPE_" + strings.ToUpper(s.head[0])
		}
		if s.get("doc") == "" || s.get("since") == "" {
			e.errorf(s.line, "%s needs since and doc", s.head[0])
		}
		helpers := ""
		if h := strings.Fields(s.get("helpers")); len(h) > 0 {
			helpers = "Helpers: " + strList(h) + ",\n"
		}
		e.pf("{Type: %d, Name: %q, Kernel: %q, Since: %q, %s\nKey: %q,\nValue: %q,\nEntries: %q,\n%sSource: %q,\nDoc: %q},\n",
			i, s.head[0], kernel, s.get("since"), helpers, s.get("key"), s.get("value"), s.get("entries"), e.mapRules(s), s.get("source"), s.get("doc"))
	}
	e.pf("}\n")
}

// mapFlagBits are the flags by name; spec's String has the names by bit.
var mapFlagBits = map[string]int{
	"NO_PREALLOC": 0, "NO_COMMON_LRU": 1, "NUMA_NODE": 2, "RDONLY": 3, "WRONLY": 4, "STACK_BUILD_ID": 5, "ZERO_SEED": 6,
	"RDONLY_PROG": 7, "WRONLY_PROG": 8, "CLONE": 9, "MMAPABLE": 10, "PRESERVE_ELEMS": 11, "INNER_MAP": 12, "LINK": 13,
	"PATH_FD": 14, "VTYPE_BTF_OBJ_FD": 15, "TOKEN_FD": 16, "SEGV_ON_FAULT": 17, "NO_USER_CONV": 18,
}

// mapRules writes what creation checks, as numbers.
func (e *emitter) mapRules(s *stanza) string {
	if s.get("sizes") == "" {
		return ""
	}
	var b strings.Builder
	for word := range strings.FieldsSeq(s.get("sizes")) {
		name, set, _ := strings.Cut(word, "=")
		field, ok := map[string]string{"key": "KeySize", "value": "ValueSize", "entries": "MaxEntries"}[name]
		if !ok {
			e.errorf(s.line, "unknown size %q", name)
		}
		b.WriteString(field + ": " + e.sizes(s.line, set) + ",\n")
	}
	flags := func(key string) uint32 {
		var f uint32
		for name := range strings.FieldsSeq(s.get(key)) {
			bit, ok := mapFlagBits[strings.TrimPrefix(name, "BPF_F_")]
			if !ok {
				e.errorf(s.line, "unknown flag %q", name)
			}
			f |= 1 << bit
		}
		return f
	}
	fmt.Fprintf(&b, "Flags: %#x, Must: %#x,\n", flags("flags"), flags("must"))
	if w := s.get("btf"); w != "" {
		kind, ok := map[string]string{"yes": "MapBTFBoth", "value": "MapBTFValue", "must": "MapBTFMust"}[w]
		if !ok {
			e.errorf(s.line, "btf is %q, not yes, value or must", w)
		}
		b.WriteString("BTF: " + kind + ",\n")
	}
	return b.String()
}

// sizes parses "4", "5..260", "1..", "8..1016/8" or "4096..^2".
func (e *emitter) sizes(line int, text string) string {
	text, power := strings.CutSuffix(text, "^2")
	text, step, _ := strings.Cut(text, "/")
	low, high, isRange := strings.Cut(text, "..")
	if !isRange {
		high = low
	} else if high == "" {
		high = strconv.FormatUint(math.MaxUint32, 10)
	}
	out := fmt.Sprintf("Sizes{Min: %d, Max: %d", e.number(line, low), e.number(line, high))
	if step != "" {
		out += fmt.Sprintf(", Step: %d", e.number(line, step))
	}
	if power {
		out += ", Power: true"
	}
	return out + "}"
}
