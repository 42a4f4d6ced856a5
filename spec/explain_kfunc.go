package spec

import (
	"strconv"
	"strings"
)

// explainKfunc makes the page of a kernel function.
func explainKfunc(topic string) (Page, bool) {
	topic = strings.ToLower(topic)
	k := KfuncByName(topic)
	if k == nil {
		k = KfuncByName("bpf_" + topic)
	}
	if k == nil {
		return Page{}, false
	}
	p := Page{
		Name:  k.Name,
		Title: "kfunc " + k.Name,
		Body:  k.Doc,
		Facts: []Fact{{"signature", k.Signature}},
	}
	if k.Flags != 0 {
		p.Facts = append(p.Facts, Fact{"flags", k.Flags.String()})
	}
	for i, text := range kfuncFlagTexts {
		if text != "" && k.Flags.Has(1<<i) {
			p.Facts = append(p.Facts, Fact{"", text})
		}
	}
	p.Facts = append(p.Facts, Fact{"license", "GPL-compatible programs only"})
	if len(k.Args) > 0 {
		args := Table{Title: "arguments", Head: []string{"register", "name", "kind", "type"}}
		for i := range k.Args {
			a := &k.Args[i]
			args.Rows = append(args.Rows, []string{"r" + strconv.Itoa(i+1), a.Name, a.text(), a.CType})
		}
		p.Tables = append(p.Tables, args)
	}
	types := make([]string, 0, len(progTypes))
	for _, t := range k.Types() {
		types = append(types, t.String())
	}
	switch {
	case len(k.Hooks) == 0:
		p.Facts = append(p.Facts, Fact{"programs", "none may call it; fmod_ret programs may be attached to it"})
	case len(types) == len(progTypes)-2: // all but unspec and ext
		p.Facts = append(p.Facts, Fact{"programs", "all"})
	default:
		p.Facts = append(p.Facts, Fact{"programs", strings.Join(types, " ")})
	}
	if len(k.OnlyAttach) > 0 {
		var names []string
		for _, a := range k.OnlyAttach {
			names = append(names, a.String())
		}
		p.Facts = append(p.Facts, Fact{"attached as", strings.Join(names, " ")})
	}
	if it := k.Iter(); it != "" {
		for _, part := range []string{"_new", "_next", "_destroy"} {
			if name := "bpf_iter_" + it + part; name != k.Name {
				p.See = append(p.See, name)
			}
		}
	}
	return p, true
}

// kfuncFlagTexts say what a flag asks of programs, by bit.
var kfuncFlagTexts = [...]string{
	0: "the result is a reference that must be released",
	1: "ends the reference that it is given",
	2: "the result may be NULL: compare it before use",
	4: "pointers must be trusted or owned, and not NULL",
	5: "sleepable programs only",
	6: "needs the right to reboot (CAP_SYS_BOOT)",
	7: "pointers must be trusted, owned, or read inside an RCU section",

	11: "inside an RCU read section only",
	12: "keeps R1 to R5 (bpf_fastcall)",
	15: "",
}

// text says how the verifier takes the argument.
func (a *KfuncArg) text() string {
	s := a.Kind.String()
	if a.Uninit {
		s += ", to be made"
	}
	if a.Nullable || a.Optional {
		s += " or NULL"
	}
	return s
}
