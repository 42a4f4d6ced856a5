package main

import (
	"strings"
)

func emitProgTypes(e *emitter) {
	e.pf("var progTypes = [...]ProgTypeInfo{\n")
	for i, s := range e.stanzas {
		e.keys(s, "kernel", "ctx", "since", "testrun", "stack", "caps", "packet", "sleepable", "attach", "ret*", "returns", "doc")
		if n := e.headNumber(s, 1); n != int64(i) {
			e.errorf(s.line, "program type %d stands at place %d", n, i)
		}
		kernel := s.get("kernel")
		if kernel == "" {
			kernel = "BPF_PROG_TYPE_" + strings.ToUpper(s.head[0])
		}
		ctx := strings.TrimPrefix(s.get("ctx"), "-")
		if s.get("doc") == "" || s.get("since") == "" || s.get("returns") == "" {
			e.errorf(s.line, "%s needs since, returns and doc", s.head[0])
		}
		stack := s.get("stack")
		if stack != "private" && stack != "shared" {
			e.errorf(s.line, "stack is %q, not private or shared", stack)
		}
		e.pf("{Type: %d, Name: %q, Kernel: %q, Ctx: %q, Since: %q, TestRun: %q, PrivateStack: %v,\nReturns: %q,\nDoc: %q,\n",
			i, s.head[0], kernel, ctx, s.get("since"), s.get("testrun"), stack == "private", s.get("returns"), s.get("doc"))
		e.progRules(s)
		if rets := s.all("ret"); len(rets) > 0 {
			e.pf("Rets: []RetValue{")
			for _, f := range rets {
				num, name, _ := strings.Cut(f.text, " ")
				e.pf("{%d, %q},", e.number(f.line, num), name)
			}
			e.pf("},\n")
		}
		e.pf("},\n")
	}
	e.pf("}\n")
}

// progRules writes what loading and access ask for.
func (e *emitter) progRules(s *stanza) {
	var caps []string
	for c := range strings.FieldsSeq(s.get("caps")) {
		name, ok := map[string]string{"bpf": "CapBPF", "perfmon": "CapPerfmon", "net_admin": "CapNetAdmin"}[c]
		if !ok {
			e.errorf(s.line, "unknown capability %q", c)
		}
		caps = append(caps, name)
	}
	if len(caps) > 0 {
		e.pf("Caps: []Cap{%s},\n", strings.Join(caps, ", "))
	}
	switch p := s.get("packet"); p {
	case "":
	case "load":
		e.pf("Packet: PacketLoad,\n")
	case "read":
		e.pf("Packet: PacketRead,\n")
	case "write":
		e.pf("Packet: PacketWrite,\n")
	default:
		e.errorf(s.line, "packet is %q, not load, read or write", p)
	}
	switch sl := s.get("sleepable"); sl {
	case "":
	case "*":
		e.pf("Sleepable: SleepAny,\n")
	case "always":
		e.pf("Sleepable: SleepAlways,\n")
	default:
		e.pf("Sleepable: SleepSome, SleepableAt: []AttachType{%s},\n", strings.Join(e.each(strings.Fields(sl), s.line, e.attachConst), ", "))
	}
	switch a := s.get("attach"); a {
	case "":
	case "checked":
		e.pf("AttachChecked: true,\n")
	default:
		e.errorf(s.line, "attach is %q, not checked", a)
	}
}

func emitAttachTypes(e *emitter) {
	var rows []struct{ kernel, prog string }
	e.pf("// Attach types with their numbers of Linux 6.18.\nconst (\n")
	for i, s := range e.stanzas {
		if len(s.head) != 3 || e.headNumber(s, 0) != int64(i) {
			e.errorf(s.line, "want: %d KERNEL_NAME progtype", i)
			continue
		}
		kernel := s.head[1]
		rows = append(rows, struct{ kernel, prog string }{kernel, e.prog(s.line, s.head[2])})
		e.pf("Attach%s AttachType = %d // %s\n", goName(strings.TrimPrefix(kernel, "BPF_")), i, kernel)
	}
	e.pf(")\n\nvar attachTypes = [...]AttachTypeInfo{\n")
	for i, r := range rows {
		e.pf("{Type: %d, Name: %q, Kernel: %q, Prog: %s},\n",
			i, strings.ToLower(strings.TrimPrefix(r.kernel, "BPF_")), r.kernel, r.prog)
	}
	e.pf("}\n")
}

func emitSections(e *emitter) {
	e.pf("var sections = [...]SectionRule{\n")
	for _, s := range e.stanzas {
		if len(s.head) != 6 {
			e.errorf(s.line, "want six columns, got %d", len(s.head))
			continue
		}
		pattern, match := s.head[0], "MatchExact"
		switch pattern[len(pattern)-1] {
		case '/':
			match = "MatchPrefix"
		case '+':
			pattern, match = pattern[:len(pattern)-1], "MatchExactOrPrefix"
		case '*':
			pattern, match = pattern[:len(pattern)-1], "MatchClassic"
		}
		e.pf("{Pattern: %q, Match: %s, Type: %s", pattern, match, e.prog(s.line, s.head[1]))
		if s.head[2] != "-" {
			e.pf(", Attach: Attach%s", goName(strings.TrimPrefix(s.head[2], "BPF_")))
		}
		for _, f := range list(s.head[3]) {
			field, ok := sectionFlags[f]
			if !ok {
				e.errorf(s.line, "unknown flag %q", f)
			}
			e.pf(", %s: true", field)
		}
		switch s.head[4] {
		case "libbpf":
		case "classic":
			e.pf(", Classic: true")
		default:
			e.errorf(s.line, "unknown origin %q", s.head[4])
		}
		e.pf(", Hook: %q},\n", s.head[5])
	}
	e.pf("}\n")
}

var sectionFlags = map[string]string{
	"sleepable": "Sleepable", "frags": "Frags", "btf": "NeedsBTF", "attach": "AttachRequired",
	"attachopt": "AttachOptional", "usdt": "USDT", "multi": "Multi", "session": "Session",
}

func emitLimits(e *emitter) {
	e.pf("// Limits of Linux 6.18. Each names its symbol and file.\nconst (\n")
	for _, s := range e.stanzas {
		e.keys(s, "kernel", "source", "doc")
		e.pf("%s = %d // %s, %s\n", s.head[0], e.headNumber(s, 1), s.get("kernel"), s.get("source"))
	}
	e.pf(")\n\nvar limits = [...]Limit{\n")
	for _, s := range e.stanzas {
		if len(s.head) != 3 || s.get("doc") == "" {
			e.errorf(s.line, "want: Name number unit, and doc")
			continue
		}
		e.pf("{Name: %q, Value: %d, Unit: %q, Kernel: %q, Source: %q,\nDoc: %q},\n",
			s.head[0], e.headNumber(s, 1), s.head[2], s.get("kernel"), s.get("source"), s.get("doc"))
	}
	e.pf("}\n")
}

func emitErrno(e *emitter) {
	e.pf("// Error numbers (include/uapi/asm-generic/errno-base.h, errno.h; include/linux/errno.h).\nconst (\n")
	for _, s := range e.stanzas {
		e.keys(s, "doc")
		e.pf("%s Errno = %d\n", s.head[1], e.headNumber(s, 0))
	}
	e.pf(")\n\nvar errnos = [...]ErrnoInfo{\n")
	for _, s := range e.stanzas {
		e.pf("{Errno: %s, Name: %q, Doc: %q},\n", s.head[1], s.head[1], s.get("doc"))
	}
	e.pf("}\n")
}
