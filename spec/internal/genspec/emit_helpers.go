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
}

var retKinds = map[string]string{
	"integer": "RetInteger", "void": "RetVoid", "map_value": "RetMapValue", "map_value_or_null": "RetMapValueOrNull",
	"mem_or_null": "RetMemOrNull", "socket_or_null": "RetSocketOrNull", "tcp_sock_or_null": "RetTCPSockOrNull",
	"sock_common_or_null": "RetSockCommonOrNull", "btf_id": "RetBTFID", "btf_id_or_null": "RetBTFIDOrNull",
	"mem_or_btf_id_or_null": "RetMemOrBTFIDOrNull", "mem_or_btf_id": "RetMemOrBTFID", "dynptr_mem_or_null": "RetDynptrMemOrNull",
}

var helperFlags = map[string]string{
	"gpl": "GPLOnly", "changes_packet": "ChangesPacket", "acquires": "Acquires", "releases": "Releases", "sleeps": "MightSleep",
}

func emitHelpers(e *emitter) {
	e.pf("var helperGroups = []helperGroup{\n")
	id := int64(0)
	body := &emitter{table: e.table, progs: e.progs, attach: e.attach}
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
	e.keys(s, "sig", "ret", "args", "since", "flags", "free", "for", "doc")
	if n := e.headNumber(s, 1); n != id {
		e.errorf(s.line, "helper %d stands at place %d", n, id)
	}
	ret, ok := retKinds[s.get("ret")]
	if !ok {
		e.errorf(s.line, "unknown return kind %q", s.get("ret"))
	}
	if s.get("doc") == "" || s.get("sig") == "" || s.get("since") == "" || s.get("for") == "" {
		e.errorf(s.line, "%s needs sig, since, for and doc", s.head[0])
	}
	e.pf("{ID: %d, Name: %q, Ret: %s, Args: [5]ArgKind{", id, s.head[0], ret)
	var sizes strings.Builder
	for i, a := range strings.Fields(s.get("args")) {
		name, size, has := strings.Cut(a, ":")
		kind, ok := argKinds[name]
		if !ok {
			e.errorf(s.line, "unknown argument kind %q", name)
		}
		e.pf("%s,", kind)
		if has {
			sizes.WriteString(formatIndexed(i, size))
		}
	}
	e.pf("}")
	if sizes.String() != "" {
		e.pf(", ArgSizes: [5]uint32{%s}", sizes.String())
	}
	for f := range strings.FieldsSeq(s.get("flags")) {
		name, ok := helperFlags[f]
		if !ok {
			e.errorf(s.line, "unknown flag %q", f)
		}
		e.pf(", %s: true", name)
	}
	if free := strings.Fields(s.get("free")); len(free) > 0 {
		e.pf(", FreeFor: %s", e.types(s.line, strings.Join(free, ",")))
	}
	e.pf(",\nGroups: %s, Since: %q,\nSignature: %q,\nDoc: %q},\n",
		strList(strings.Fields(s.get("for"))), s.get("since"), s.get("sig"), s.get("doc"))
}

func formatIndexed(i int, v string) string { return string(rune('0'+i)) + ": " + v + ", " }
