package cli

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

func helperTopics() []topic {
	runs := map[string]bool{}
	for _, t := range runtime.ProgTypes() {
		for _, name := range runtime.Helpers(t) {
			runs[name] = true
		}
	}
	var out []topic
	for i := range spec.Helpers() {
		t := helperTopic(&spec.Helpers()[i])
		t.add("bpfvm", runsHere(runs[t.Name], "programs that call it"))
		out = append(out, t)
	}
	return out
}

func helperTopic(h *spec.HelperProto) topic {
	t := topic{Group: "helpers", Name: h.Name, Text: h.Doc, Title: h.Signature}
	t.add("number", fmt.Sprint(int32(h.ID)))
	t.add("since", "Linux "+h.Since)
	if h.GPLOnly {
		t.add("license", "GPL-compatible programs only"+orNone(", but not for ", typeNamesOf(h.FreeFor)))
	}
	if h.Cap != spec.CapNone {
		t.add("needs", h.Cap.String()+" of the process that loads the program")
	}
	if h.ChangesPacket {
		t.add("packet", "pointers into the packet taken before the call are dead after it")
	}
	if h.PacketAccess {
		t.add("packet", "takes memory of the packet")
	}
	if h.Acquires {
		t.add("reference", "the result must be released")
	}
	if h.Releases {
		t.add("reference", "releases the one passed")
	}
	if h.MightSleep {
		t.add("sleeps", "sleepable programs only")
	}
	if h.Fastcall {
		t.add("registers", "keeps those that hold no argument (bpf_fastcall)")
	}
	t.add("maps", mapNames(h.MapTypes))
	t.add("for", programNames(h.Types()))
	for _, a := range h.Attach {
		t.add("attached as", attachNames(a.Attach)+" in "+a.Type.String())
	}
	if h.AllowedBy != "" {
		t.add("refused by", h.AllowedBy+", in single programs")
	}
	for i := range h.Forms {
		f := &h.Forms[i]
		t.add("form", typeNamesOf(f.Types)+": "+argWords(f.Args, f.ArgOf))
	}
	for i, a := range h.Args[:h.NumArgs()] {
		t.Code = append(t.Code, fmt.Sprintf("r%d  %s", i+1, argText(h, i, a)))
	}
	ret := h.Ret.String()
	if h.RetOf != "" {
		ret += ": struct " + h.RetOf
	}
	t.Code = append(t.Code, "r0  "+ret)
	short := strings.TrimPrefix(h.Name, "bpf_")
	t.aliases = []string{short, fmt.Sprintf("#%d", int32(h.ID)), fmt.Sprintf("helper#%d", int32(h.ID)), "BPF_FUNC_" + short}
	return t
}

// argText says what an argument must be, and more where the kind alone is vague.
func argText(h *spec.HelperProto, i int, a spec.ArgKind) string {
	s := a.String()
	switch {
	case a == spec.ArgFixedMem:
		s = fmt.Sprintf("memory of %d bytes", h.ArgSizes[i])
	case a == spec.ArgDynptr || a == spec.ArgUninitDynptr:
		s += orNone(", ", h.ArgOf[i])
	case h.ArgOf[i] != "":
		s += ": struct " + h.ArgOf[i]
	}
	if h.ArgWrites[i] && (a == spec.ArgMem || a == spec.ArgMemOrNull) {
		s += ", read and written"
	}
	return s
}

// argWords lists the arguments of a form in one line.
func argWords(args [5]spec.ArgKind, of [5]string) string {
	var words []string
	for i, a := range args {
		if a == spec.ArgNone {
			break
		}
		words = append(words, fmt.Sprintf("r%d %s%s", i+1, a, orNone(" struct ", of[i])))
	}
	return strings.Join(words, "; ")
}

// orNone puts a word before a text that is not empty.
func orNone(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func kfuncTopics() []topic {
	runs := map[string]bool{}
	for _, t := range runtime.ProgTypes() {
		for _, name := range runtime.Kfuncs(t) {
			runs[name] = true
		}
	}
	var out []topic
	for i := range spec.Kfuncs() {
		t := kfuncTopic(&spec.Kfuncs()[i])
		t.add("bpfvm", runsHere(runs[t.Name], "programs that call it"))
		out = append(out, t)
	}
	return out
}

// kfuncFlagWords say what a flag asks of programs.
var kfuncFlagWords = []struct {
	flag       spec.KfuncFlags
	name, text string
}{
	{spec.KfuncAcquire, "reference", "the result must be released"},
	{spec.KfuncRelease, "reference", "releases the one passed"},
	{spec.KfuncRetNull, "result", "may be NULL: compare it before use"},
	{spec.KfuncTrustedArgs, "pointers", "must be trusted or owned, and not NULL"},
	{spec.KfuncRCU, "pointers", "must be trusted, owned, or read inside an RCU section"},
	{spec.KfuncSleepable, "sleeps", "sleepable programs only"},
	{spec.KfuncRCUProtected, "place", "inside an RCU read section only"},
	{spec.KfuncDestructive, "needs", "CAP_SYS_BOOT of the process that loads the program"},
	{spec.KfuncFastcall, "registers", "keeps those that hold no argument (bpf_fastcall)"},
}

func kfuncTopic(k *spec.Kfunc) topic {
	t := topic{Group: "kfuncs", Name: k.Name, Text: k.Doc, Title: k.Signature}
	t.add("license", "GPL-compatible programs only")
	t.add("flags", k.Flags.String())
	for _, w := range kfuncFlagWords {
		if k.Flags.Has(w.flag) {
			t.add(w.name, w.text)
		}
	}
	if len(k.Hooks) == 0 {
		t.add("for", "no program may call it; fmod_ret programs may be attached to it")
	} else {
		t.add("for", programNames(k.Types()))
	}
	t.add("attached as", attachNames(k.OnlyAttach))
	if it := k.Iter(); it != "" {
		t.add("iterator", "bpf_iter_"+it+"_new, _next, _destroy")
	}
	for i := range k.Args {
		a := &k.Args[i]
		s := a.Kind.String()
		if a.Kind == spec.KfuncStruct {
			s += ": struct " + a.Struct
		}
		if a.Uninit {
			s += ", to be made"
		}
		if a.Nullable || a.Optional {
			s += " or NULL"
		}
		t.Code = append(t.Code, fmt.Sprintf("r%d  %-18s %s", i+1, a.Name, s))
	}
	if k.Ret != "void" {
		t.Code = append(t.Code, fmt.Sprintf("r0  %-18s %s", "", k.Ret))
	}
	if short, ok := strings.CutPrefix(k.Name, "bpf_"); ok {
		t.aliases = append(t.aliases, short)
	}
	if short, ok := strings.CutSuffix(k.Name, "_impl"); ok {
		t.aliases = append(t.aliases, short, strings.TrimPrefix(short, "bpf_"))
	}
	return t
}

func typeNamesOf(types []spec.ProgType) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = t.String()
	}
	return strings.Join(words, ", ")
}

func mapNames(types []spec.MapType) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = t.String()
	}
	return strings.Join(words, ", ")
}

func attachNames(types []spec.AttachType) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = t.String()
	}
	return strings.Join(slices.Compact(words), ", ")
}
