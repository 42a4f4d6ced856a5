package main

import (
	"strings"
)

var fieldKinds = map[string]string{
	"scalar": "FieldScalar", "packet": "FieldPacket", "packet_end": "FieldPacketEnd",
	"packet_meta": "FieldPacketMeta",
}

var pointerKinds = map[string]string{
	"sock": "SocketPtr", "sock_or_null": "SocketOrNullPtr", "sock_common_or_null": "SockCommonOrNull",
	"flow_keys": "FlowKeysPtr", "tp_buffer": "TracepointBuffer", "trusted": "TrustedBTFPointer",
}

// types writes a list of program types; "*" is nil, "every type".
func (e *emitter) types(line int, s string) string {
	if s == "*" {
		return "nil"
	}
	var b strings.Builder
	b.WriteString("[]ProgType{")
	for _, t := range list(s) {
		b.WriteString(e.prog(line, t) + ", ")
	}
	return b.String() + "}"
}

func emitCtx(e *emitter) {
	e.pf("var ctxLayouts = [...]CtxLayout{\n")
	for _, s := range e.stanzas {
		e.keys(s, "source", "doc", "alias*", "attach*", "field*")
		rules := e.ctxAttach(s)
		e.pf("{Name: %q, Size: %d, Source: %q,\nDoc: %q,\nFields: []CtxField{\n",
			s.head[0], e.headNumber(s, 1), s.get("source"), s.get("doc"))
		names := map[string]bool{}
		for _, f := range s.all("field") {
			text, doc, _ := strings.Cut(f.text, " -- ")
			w := strings.Fields(text)
			if len(w) < 8 {
				e.errorf(f.line, "want: offset size name kind flags readers writers C type")
				continue
			}
			word, target, _ := strings.Cut(w[3], ":")
			kind, ok := fieldKinds[word]
			pointer := pointerKinds[word]
			if pointer != "" {
				kind, ok = "FieldPointer", true
			}
			if !ok {
				e.errorf(f.line, "unknown kind %q", w[3])
			}
			names[w[2]] = true
			e.pf("{Name: %q, Off: %d, Size: %d, CType: %q", w[2], e.number(f.line, w[0]), e.number(f.line, w[1]), strings.Join(w[7:], " "))
			if kind != "FieldScalar" {
				e.pf(", Kind: %s", kind)
			}
			if pointer != "" {
				e.pf(", Pointer: %s", pointer)
			}
			if target != "" {
				e.pf(", Struct: %q", target)
			}
			if r := rules[w[2]]; r != "" {
				e.pf(", Attach: []CtxAttach{%s}", r)
				delete(rules, w[2])
			}
			for _, flag := range list(w[4]) {
				name, ok := ctxFlags[flag]
				if !ok {
					e.errorf(f.line, "unknown flag %q", flag)
				}
				e.pf(", %s: true", name)
			}
			if w[5] != "*" {
				e.pf(", ReadBy: %s", e.types(f.line, w[5]))
			}
			if w[6] != "-" {
				e.pf(", Write: true")
				if w[6] != "*" {
					e.pf(", WriteBy: %s", e.types(f.line, w[6]))
				}
			}
			if doc != "" {
				e.pf(", Doc: %q", doc)
			}
			e.pf("},\n")
		}
		e.pf("},\n")
		for name := range rules {
			e.errorf(s.line, "attach of no field %q", name)
		}
		if aliases := s.all("alias"); len(aliases) > 0 {
			e.pf("Aliases: []CtxAlias{")
			for _, a := range aliases {
				name, of, _ := strings.Cut(a.text, " ")
				if !names[of] {
					e.errorf(a.line, "alias %s of no field %q", name, of)
				}
				e.pf("{%q, %q},", name, of)
			}
			e.pf("},\n")
		}
		e.pf("},\n")
	}
	e.pf("}\n")
}

// ctxAttach returns what the attach lines say, by field, as Go.
func (e *emitter) ctxAttach(s *stanza) map[string]string {
	rules := map[string]string{}
	for _, f := range s.all("attach") {
		head, attach, _ := strings.Cut(f.text, ":")
		w := strings.Fields(head)
		if len(w) != 3 {
			e.errorf(f.line, "want: fields progtype access: attach types")
			continue
		}
		access, ok := map[string]string{"both": "Read: true, Write: true", "read": "Read: true", "write": "Write: true"}[w[2]]
		if !ok {
			e.errorf(f.line, "unknown access %q", w[2])
		}
		types := strings.Join(e.each(strings.Fields(attach), f.line, e.attachConst), ", ")
		for _, name := range list(w[0]) {
			rules[name] += "{Type: " + e.prog(f.line, w[1]) + ", " + access + ", Attach: []AttachType{" + types + "}},"
		}
	}
	return rules
}

var ctxFlags = map[string]string{
	"narrow": "Narrow", "narrow0": "NarrowStart", "wide": "Wide", "narrowst": "NarrowWrite",
	"half": "Half", "word": "Word", "write0": "WriteFirst", "widest": "WideWrite",
}

// emitTracepoints keeps the layouts of trace events as text, one string an
// event, because few of them are ever looked at: "offset size name C type"
// joined by ';'.
func emitTracepoints(e *emitter) {
	e.pf("var tracepoints = [...]tracepointRow{\n")
	last := ""
	for _, s := range e.stanzas {
		e.keys(s, "field*")
		if len(s.head) != 1 || s.head[0] <= last {
			e.errorf(s.line, "%v is not one name in order", s.head)
		}
		last = s.head[0]
		var fields []string
		for _, f := range s.all("field") {
			w := strings.Fields(f.text)
			if len(w) < 4 {
				e.errorf(f.line, "want: offset size name C type")
				continue
			}
			e.number(f.line, w[0])
			e.number(f.line, w[1])
			fields = append(fields, strings.Join(w, " "))
		}
		e.pf("{%q, %q},\n", s.head[0], strings.Join(fields, ";"))
	}
	e.pf("}\n")
}
