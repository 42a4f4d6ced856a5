package main

import (
	"strings"
)

var argKinds = map[string]string{
	"anything": "ArgAnything", "map": "ArgConstMapPtr", "map_key": "ArgMapKey", "map_value": "ArgMapValue",
	"map_value_or_null": "ArgMapValueOrNull", "uninit_map_value": "ArgUninitMapValue",
	"mem": "ArgMem", "mem_or_null": "ArgMemOrNull", "uninit_mem": "ArgUninitMem",
	"size": "ArgSize", "size_or_zero": "ArgSizeOrZero", "ctx": "ArgCtx", "ringbuf_mem": "ArgRingBufMem",
	"alloc_size": "ArgAllocSize", "const_str": "ArgConstStr", "func": "ArgFunc", "stack_or_null": "ArgStackOrNull",
	"timer": "ArgTimer", "kptr": "ArgKptr", "spin_lock": "ArgSpinLock", "btf_id": "ArgBTFID",
	"btf_id_or_null": "ArgBTFIDOrNull", "dynptr": "ArgDynptr", "uninit_dynptr": "ArgUninitDynptr",
	"socket": "ArgSocket", "sock_or_null": "ArgSockOrNull", "long": "ArgLong", "int": "ArgInt",
	"fixed_mem": "ArgFixedMem", "percpu_btf_id": "ArgPerCPUBTFID",
	"sock_common": "ArgSockCommon", "full_sock_or_null": "ArgFullSockOrNull", "ctx_or_null": "ArgCtxOrNull",
}

var retKinds = map[string]string{
	"integer": "RetInteger", "void": "RetVoid", "map_value": "RetMapValue", "map_value_or_null": "RetMapValueOrNull",
	"mem_or_null": "RetMemOrNull", "socket_or_null": "RetSocketOrNull", "tcp_sock_or_null": "RetTCPSockOrNull",
	"sock_common_or_null": "RetSockCommonOrNull", "btf_id": "RetBTFID", "btf_id_or_null": "RetBTFIDOrNull",
	"mem_or_btf_id_or_null": "RetMemOrBTFIDOrNull", "mem_or_btf_id": "RetMemOrBTFID", "dynptr_mem_or_null": "RetDynptrMemOrNull",
}

var helperFlags = map[string]string{
	"gpl": "GPLOnly", "changes_packet": "ChangesPacket", "acquires": "Acquires", "releases": "Releases", "sleeps": "MightSleep",
	"pkt": "PacketAccess", "fastcall": "Fastcall", "trusted": "RetTrusted",
}

func emitHelpers(e *emitter) {
	e.pf("var helperGroups = []helperGroup{\n")
	id := int64(0)
	body := &emitter{table: e.table, names: e.names}
	for _, s := range e.stanzas {
		if s.head[0] == "group" {
			e.keys(s, "of", "doc")
			e.pf("{%q, []ProgType{", s.head[1])
			for t := range strings.FieldsSeq(s.get("of")) {
				e.pf("%s,", e.prog(s.line, t))
			}
			e.pf("}, %q},\n", s.get("doc"))
			continue
		}
		id++
		body.helper(s, id)
	}
	e.pf("}\n\n")
	e.pf("var helpers = [...]HelperProto{\n%s}\n", body.String())
}

func (e *emitter) helper(s *stanza, id int64) {
	e.keys(s, "sig", "ret", "args", "since", "flags", "cap", "allowed", "maps", "form*", "attach*", "free", "for", "doc")
	if n := e.headNumber(s, 1); n != id {
		e.errorf(s.line, "helper %d stands at place %d", n, id)
	}
	retName, retOf, _ := strings.Cut(s.get("ret"), ":")
	ret, ok := retKinds[retName]
	if !ok {
		e.errorf(s.line, "unknown return kind %q", s.get("ret"))
	}
	if s.get("doc") == "" || s.get("sig") == "" || s.get("since") == "" || s.get("for") == "" {
		e.errorf(s.line, "%s needs sig, since, for and doc", s.head[0])
	}
	e.pf("{ID: %d, Name: %q, Ret: %s, %s", id, s.head[0], ret, e.helperArgs(s.line, s.get("args"), true))
	if retOf != "" {
		e.pf(", RetOf: %q", retOf)
	}
	for f := range strings.FieldsSeq(s.get("flags")) {
		name, ok := helperFlags[f]
		if !ok {
			e.errorf(s.line, "unknown flag %q", f)
		}
		e.pf(", %s: true", name)
	}
	switch c := s.get("cap"); c {
	case "":
	case "bpf":
		e.pf(", Cap: CapBPF")
	case "perfmon":
		e.pf(", Cap: CapPerfmon")
	default:
		e.errorf(s.line, "unknown capability %q", c)
	}
	if a := s.get("allowed"); a != "" {
		e.pf(", AllowedBy: %q", a)
	}
	if m := strings.Fields(s.get("maps")); len(m) > 0 {
		e.pf(", MapTypes: []MapType{%s}", strings.Join(e.each(m, s.line, e.mapType), ", "))
	}
	if free := strings.Fields(s.get("free")); len(free) > 0 {
		e.pf(", FreeFor: %s", e.types(s.line, strings.Join(free, ",")))
	}
	if forms := s.all("form"); len(forms) > 0 {
		e.pf(", Forms: []HelperForm{\n")
		for _, f := range forms {
			types, args, _ := strings.Cut(f.text, ":")
			e.pf("{Types: %s, %s},\n", e.types(f.line, types), e.helperArgs(f.line, args, false))
		}
		e.pf("}")
	}
	if rules := s.all("attach"); len(rules) > 0 {
		e.pf(", Attach: []HelperAttach{\n")
		for _, f := range rules {
			typ, attach, _ := strings.Cut(f.text, ":")
			e.pf("{Type: %s, Attach: []AttachType{%s}},\n", e.prog(f.line, typ), strings.Join(e.each(strings.Fields(attach), f.line, e.attachConst), ", "))
		}
		e.pf("}")
	}
	e.pf(",\nGroups: %s, Since: %q,\nSignature: %q,\nDoc: %q},\n",
		strList(strings.Fields(s.get("for"))), s.get("since"), s.get("sig"), s.get("doc"))
}

// helperArgs writes the fields that describe the arguments. A kind may have ":"
// and what it is of, and "+w" where the helper writes memory that it reads.
func (e *emitter) helperArgs(line int, text string, whole bool) string {
	var args, sizes, of, writes strings.Builder
	for i, a := range strings.Fields(text) {
		a, plus := strings.CutSuffix(a, "+w")
		name, more, has := strings.Cut(a, ":")
		kind, ok := argKinds[name]
		if !ok {
			e.errorf(line, "unknown argument kind %q", name)
		}
		args.WriteString(kind + ",")
		switch {
		case has && name == "fixed_mem":
			sizes.WriteString(formatIndexed(i, more))
		case has:
			of.WriteString(formatIndexed(i, quote(more)))
		}
		if plus || strings.HasPrefix(name, "uninit_") || name == "long" || name == "int" {
			writes.WriteString(formatIndexed(i, "true"))
		}
	}
	out := "Args: [5]ArgKind{" + args.String() + "}"
	if sizes.Len() > 0 {
		out += ", ArgSizes: [5]uint32{" + sizes.String() + "}"
	}
	if of.Len() > 0 {
		out += ", ArgOf: [5]string{" + of.String() + "}"
	}
	if writes.Len() > 0 && whole {
		out += ", ArgWrites: [5]bool{" + writes.String() + "}"
	}
	return out
}

func formatIndexed(i int, v string) string { return string(rune('0'+i)) + ": " + v + ", " }
