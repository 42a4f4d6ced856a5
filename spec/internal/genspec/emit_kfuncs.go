package main

import (
	"strings"
)

var kfuncFlags = map[string]string{
	"acquire": "KfuncAcquire", "release": "KfuncRelease", "ret_null": "KfuncRetNull", "trusted_args": "KfuncTrustedArgs",
	"sleepable": "KfuncSleepable", "destructive": "KfuncDestructive", "rcu": "KfuncRCU", "iter_new": "KfuncIterNew",
	"iter_next": "KfuncIterNext", "iter_destroy": "KfuncIterDestroy", "rcu_protected": "KfuncRCUProtected",
	"fastcall": "KfuncFastcall", "arena_ret": "KfuncArenaRet", "arena_arg1": "KfuncArenaArg1", "arena_arg2": "KfuncArenaArg2",
}

func emitKfuncs(e *emitter) {
	hooks := map[string]bool{}
	var targets []string
	body := &emitter{table: e.table, names: e.names}
	var dtors strings.Builder
	last := ""
	e.pf("var kfuncHooks = [...]kfuncHook{\n")
	for _, s := range e.stanzas {
		switch s.head[0] {
		case "hook":
			e.keys(s, "of", "targets")
			if t := s.get("targets"); t != "" {
				targets = strings.Fields(t)
				continue
			}
			hooks[s.head[1]] = true
			if s.get("of") == "*" {
				e.pf("{name: %q, all: true},\n", s.head[1])
				continue
			}
			e.pf("{name: %q, of: %s},\n", s.head[1], e.types(s.line, strings.ReplaceAll(s.get("of"), " ", ",")))
		case "dtor":
			dtors.WriteString("{\"" + s.head[1] + "\", \"" + s.head[2] + "\"},\n")
		default:
			if s.head[0] <= last {
				e.errorf(s.line, "%s is out of order", s.head[0])
			}
			last = s.head[0]
			body.kfunc(s, hooks)
		}
	}
	e.pf("}\n\nvar kptrDtors = [...]kptrDtor{\n%s}\n", dtors.String())
	e.pf("\nvar fmodRetTargets = [...]string{\n")
	for _, t := range targets {
		e.pf("%q,\n", t)
	}
	e.pf("}\n\nvar kfuncs = [...]Kfunc{\n%s}\n", body.String())
}

func (e *emitter) kfunc(s *stanza, hooks map[string]bool) {
	e.keys(s, "sig", "flags", "hooks", "only", "doc")
	ret, params, ok := splitPrototype(s.get("sig"), s.head[0])
	if !ok || s.get("doc") == "" {
		e.errorf(s.line, "%s needs a sig of its own name, and doc", s.head[0])
		return
	}
	e.pf("{Name: %q, Signature: %q, Ret: %q,\nDoc: %q,\n", s.head[0], s.get("sig"), ret, s.get("doc"))
	var flags []string
	for f := range strings.FieldsSeq(s.get("flags")) {
		if kfuncFlags[f] == "" {
			e.errorf(s.line, "unknown flag %q", f)
		}
		flags = append(flags, kfuncFlags[f])
	}
	if len(flags) > 0 {
		e.pf("Flags: %s,\n", strings.Join(flags, "|"))
	}
	for h := range strings.FieldsSeq(s.get("hooks")) {
		if !hooks[h] {
			e.errorf(s.line, "unknown hook %q", h)
		}
	}
	if h := s.get("hooks"); h != "" {
		e.pf("Hooks: %s,\n", strList(strings.Fields(h)))
	}
	var types, attach []string
	for w := range strings.FieldsSeq(s.get("only")) {
		if a, is := strings.CutPrefix(w, "attach:"); is {
			attach = append(attach, e.attachConst(s.line, a))
		} else {
			types = append(types, e.prog(s.line, w))
		}
	}
	if len(types) > 0 {
		e.pf("OnlyTypes: []ProgType{%s},\n", strings.Join(types, ", "))
	}
	if len(attach) > 0 {
		e.pf("OnlyAttach: []AttachType{%s},\n", strings.Join(attach, ", "))
	}
	if len(params) > 0 {
		e.pf("Args: []KfuncArg{\n")
		for i, p := range params {
			sized := i+1 < len(params) && isSize(params[i+1].name)
			e.pf("%s,\n", p.literal(sized, strings.Contains(s.get("flags"), "iter_")))
		}
		e.pf("},\n")
	}
	e.pf("},\n")
}

// param is one parameter of a C prototype.
type param struct{ name, ctype string }

// splitPrototype cuts "int f(const char *s__ign, bool (*less)(int, int))" into the
// result's type and the parameters.
func splitPrototype(sig, fn string) (ret string, params []param, ok bool) {
	ret, rest, ok := strings.Cut(sig, fn+"(")
	rest, closed := strings.CutSuffix(rest, ")")
	if !ok || !closed {
		return "", nil, false
	}
	ret = strings.TrimSpace(ret)
	if rest == "void" {
		return ret, nil, true
	}
	depth, from := 0, 0
	for i := 0; i <= len(rest); i++ {
		switch {
		case i == len(rest) || rest[i] == ',' && depth == 0:
			params = append(params, splitParam(strings.TrimSpace(rest[from:i])))
			from = i + 1
		case rest[i] == '(':
			depth++
		case rest[i] == ')':
			depth--
		}
	}
	return ret, params, true
}

// splitParam cuts the name out of a parameter's declaration.
func splitParam(text string) param {
	if before, after, found := strings.Cut(text, "(*"); found { // a function pointer
		name, rest, _ := strings.Cut(after, ")")
		return param{name, before + "(*)" + rest}
	}
	i := strings.LastIndexAny(text, " *") + 1
	return param{text[i:], strings.TrimSpace(text[:i])}
}

func isSize(name string) bool {
	return strings.HasSuffix(name, "__sz") || strings.HasSuffix(name, "__szk")
}

// byEnding are the kinds that a parameter's name decides.
var byEnding = []struct{ ending, kind string }{
	{"__szk", "KfuncConstSize"}, {"__sz", "KfuncSize"}, {"__k", "KfuncConst"}, {"__ign", "KfuncIgnore"}, {"__map", "KfuncMap"},
	{"__str", "KfuncString"}, {"__alloc", "KfuncAllocated"}, {"__refcounted_kptr", "KfuncRefcounted"},
	{"__irq_flag", "KfuncIRQFlag"}, {"__prog", "KfuncAux"},
}

// byStruct are the kinds that the struct behind a pointer decides.
var byStruct = map[string]string{
	"bpf_dynptr": "KfuncDynptr", "bpf_list_head": "KfuncListHead", "bpf_list_node": "KfuncListNode",
	"bpf_rb_root": "KfuncRBRoot", "bpf_rb_node": "KfuncRBNode", "bpf_wq": "KfuncWorkqueue", "bpf_task_work": "KfuncTaskWork",
	"bpf_res_spin_lock": "KfuncResSpinLock",
	"__sk_buff":         "KfuncCtx", "xdp_md": "KfuncCtx", "bpf_sock_addr_kern": "KfuncCtx", "bpf_sock_ops_kern": "KfuncCtx",
}

// literal writes the parameter as a KfuncArg without its type's name.
func (p param) literal(sized, iter bool) string {
	target, pointer := strings.CutSuffix(p.ctype, "*")
	target = strings.TrimSpace(target)
	target, readOnly := strings.CutPrefix(target, "const ")
	name, composite := strings.CutPrefix(target, "struct ")
	if !composite {
		name, composite = strings.CutPrefix(target, "union ")
	}
	composite = composite && pointer
	kind := ""
	for _, b := range byEnding {
		if strings.HasSuffix(p.name, b.ending) {
			kind = b.kind
			break
		}
	}
	switch {
	case kind != "":
	case strings.Contains(p.ctype, "(*)"), strings.HasSuffix(p.ctype, "_callback_t"):
		kind, pointer = "KfuncCallback", false
	case !pointer:
		kind = "KfuncScalar"
	case composite && byStruct[name] != "":
		kind = byStruct[name]
	case composite && iter && strings.HasPrefix(name, "bpf_iter_"):
		kind = "KfuncIter"
	case composite && !sized:
		kind = "KfuncStruct"
	case target == "void" && !sized:
		kind = "KfuncPointer"
	default:
		kind = "KfuncMem"
	}
	var b strings.Builder
	b.WriteString("{Name: " + quote(p.name) + ", CType: " + quote(p.ctype) + ", Kind: " + kind)
	if composite {
		b.WriteString(", Struct: " + quote(name))
	}
	for _, f := range []struct {
		is   bool
		name string
	}{
		{sized && pointer, "Sized"}, {strings.HasSuffix(p.name, "__uninit"), "Uninit"},
		{strings.HasSuffix(p.name, "__nullable"), "Nullable"}, {strings.HasSuffix(p.name, "__opt"), "Optional"},
		{readOnly && pointer, "ReadOnly"},
	} {
		if f.is {
			b.WriteString(", " + f.name + ": true")
		}
	}
	return b.String() + "}"
}
