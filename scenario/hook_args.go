package scenario

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// argNames returns the names of arguments that an event of the hook may have, nil
// where any may stand because nothing is known of the target. BTF is asked only
// when a name is not one that the hook always has.
func (h *hook) argNames(target string, have []Arg) ([]string, error) {
	switch {
	case h.fields:
		t, _, ok := h.progType(target)
		if !ok {
			return nil, fmt.Errorf("there is no hook %s:%s%s", h.name, target, didYouMean(target, runtime.HookNames(h.name)))
		}
		return fieldArgs(h, t), nil
	case !h.traced:
		return h.args, nil
	}
	base := h.tracedArgs()
	if !slices.ContainsFunc(have, func(a Arg) bool { return !slices.Contains(base, a.Name) }) {
		return base, nil
	}
	kernel, err := types.Target()
	if err != nil {
		return nil, err
	}
	return h.namesIn(kernel, target), nil
}

// tracedArgs are the names that need no BTF.
func (h *hook) tracedArgs() []string {
	switch h.name {
	case "kprobe":
		return registerArgs
	case "raw_tracepoint":
		return append(slices.Clone(rawArgs), "buffer")
	case "fexit", "fmod_ret", "lsm", "lsm_cgroup":
		return append(slices.Clone(rawArgs), "ret")
	case "iter":
		return nil
	}
	return rawArgs
}

// namesIn adds the names of the arguments that a kernel's BTF has; nil when it does
// not know the target and a program may all the same.
func (h *hook) namesIn(kernel *btf.Spec, target string) []string {
	base := h.tracedArgs()
	sig, err := runtime.SignatureIn(kernel, h.signatureHook(), target)
	if err != nil {
		if h.name == "kprobe" {
			return base
		}
		return nil
	}
	names := make([]string, 0, len(base)+len(sig.Args))
	for _, a := range sig.Args {
		if a.Name != "" && (h.name != "iter" || a.Name != "meta") {
			names = append(names, a.Name)
		}
	}
	return append(names, base...)
}

// signatureHook is the hook whose signature the arguments follow.
func (h *hook) signatureHook() string {
	switch h.name {
	case "kprobe":
		return "fentry"
	case "raw_tracepoint":
		return "tp_btf"
	}
	return h.name
}

// progType is the program type of a hook with fields, and the attach type.
func (h *hook) progType(target string) (spec.ProgType, spec.AttachType, bool) {
	if target == "" || h.device {
		return runtime.HookType(h.name)
	}
	return runtime.HookType(h.name + ":" + target)
}

// dataArgs are the names under which the bytes are given that a context's pointers
// lead to.
var dataArgs = map[spec.ProgType]string{
	spec.ProgSockOps: "skb_data", spec.ProgSKMsg: "data", spec.ProgSKReuseport: "data", spec.ProgCgroupSockopt: "optval",
}

// sysctlArgs are texts that helpers give to programs.
var sysctlArgs = []string{"name", "value", "new_value"}

// fieldArgs are the arguments of events whose context is a structure: its numbers,
// the bytes that it points to, and the numbers of its socket.
func fieldArgs(h *hook, t spec.ProgType) []string {
	var names []string
	if h.packet {
		names = append(names, packetArgs...)
	}
	if name := dataArgs[t]; name != "" {
		names = append(names, name)
	}
	if t == spec.ProgCgroupSysctl {
		names = append(names, sysctlArgs...)
	}
	layout := t.Ctx()
	for i := range layout.Fields {
		switch f := &layout.Fields[i]; {
		case f.Kind == spec.FieldScalar && f.Name != "len" && (f.ReadableBy(t) || f.WritableBy(t)):
			names = append(names, f.Name)
		case f.Name == "sk":
			names = append(names, "sk")
			for _, s := range spec.CtxByName("bpf_sock").Fields {
				names = append(names, "sk."+s.Name)
			}
		}
	}
	for _, a := range layout.Aliases {
		names = append(names, a.Name)
	}
	return names
}

// contextArgs are the arguments of an event as fields of a context and its socket.
type contextArgs struct {
	typ    spec.ProgType
	attach spec.AttachType
	fields []runtime.FieldValue
	sock   []runtime.FieldValue
	noSock bool
	data   []byte
	sysctl runtime.Sysctl
}

// contextArgs sorts the arguments of an event.
func (p *planner) contextArgs(h *hook, e *Event) (*contextArgs, error) {
	t, attach, ok := h.progType(e.Target)
	if !ok {
		return nil, fmt.Errorf("there is no hook %s", e.Name())
	}
	c := &contextArgs{typ: t, attach: attach}
	for _, a := range e.Args {
		if h.packet && slices.Contains(packetArgs, a.Name) {
			continue
		}
		if a.Name == dataArgs[t] {
			b, err := a.Value.appendBytes(nil)
			if err != nil {
				return nil, err
			}
			c.data = b
			continue
		}
		if t == spec.ProgCgroupSysctl && slices.Contains(sysctlArgs, a.Name) {
			text, ok := a.Value.stringArg()
			if !ok {
				return nil, &Error{Pos: a.Value.Pos, Msg: fmt.Sprintf("%s=%s: text in quotes is wanted", a.Name, a.Value)}
			}
			switch a.Name {
			case "name":
				c.sysctl.Name = text
			case "value":
				c.sysctl.Current = text
			default:
				c.sysctl.New = text
			}
			continue
		}
		if a.Name == "sk" {
			if !a.Value.IsNumber() || a.Value.Num != 0 {
				return nil, &Error{Pos: a.Value.Pos, Msg: "sk=0 means that there is no socket; its fields are sk.family, sk.src_port .."}
			}
			c.noSock = true
			continue
		}
		layout, list, name := t.Ctx(), &c.fields, a.Name
		if rest, ok := strings.CutPrefix(a.Name, "sk."); ok {
			layout, list, name = spec.CtxByName("bpf_sock"), &c.sock, rest
		}
		f := layout.Field(name)
		if f == nil { // a script that was not parsed
			return nil, &Error{Pos: a.Pos, Msg: fmt.Sprintf("%s has no %s", e.Name(), a.Name)}
		}
		b, err := p.fieldBytes(a.Value, int(f.Size))
		if err != nil {
			return nil, err
		}
		*list = append(*list, runtime.FieldValue{Name: name, Data: b})
	}
	return c, nil
}

// fieldBytes is a value in a field of a structure: a number, an address of the
// internet, the name of a constant of the kernel, or bytes, behind which zeros fill
// the field.
func (p *planner) fieldBytes(v Value, size int) ([]byte, error) {
	switch {
	case v.IsNumber():
		return v.appendNumber(nil, min(size, 8), binary.LittleEndian)
	case v.Kind == ValueWord:
		b, err := p.wordBytes(v)
		if err == nil && len(b) > size {
			err = v.errf("%s has %d bytes, the field has %d", v, len(b), size)
		}
		return b, err
	}
	b, err := v.appendBytes(nil)
	if err == nil && len(b) > size {
		err = v.errf("%s has %d bytes, the field has %d", v, len(b), size)
	}
	return b, err
}

// families are the address families (include/linux/socket.h), which are macros and
// so not in BTF.
var families = map[string]byte{"AF_UNSPEC": 0, "AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17}

// wordBytes is what a word stands for in a field: 10.0.0.1, ::1, AF_INET, or the
// name of an enumerator of the kernel, BPF_SOCK_OPS_TCP_CONNECT_CB.
func (p *planner) wordBytes(v Value) ([]byte, error) {
	if a, err := netip.ParseAddr(v.Text); err == nil {
		return a.AsSlice(), nil
	}
	if f, ok := families[v.Text]; ok {
		return []byte{f}, nil
	}
	kernel, err := p.kernel()
	if err != nil {
		return nil, err
	}
	if p.enums == nil {
		p.enums = enumerators(kernel)
	}
	n, ok := p.enums[v.Text]
	if !ok {
		return nil, v.errf("%s is neither an address such as 10.0.0.1 nor a constant that the kernel's BTF has", v.Text)
	}
	return runtime.Number("", n).Data, nil
}

// kernel is the BTF that names and layouts are taken from.
func (p *planner) kernel() (*btf.Spec, error) {
	if p.rt != nil {
		return p.rt.Target(), nil
	}
	return types.Target()
}

// enumerators are the constants of all enums of a kernel; of those that have the
// same name, the first.
func enumerators(kernel *btf.Spec) map[string]uint64 {
	all := map[string]uint64{}
	for t, err := range kernel.All() {
		if err != nil {
			break
		}
		enum, ok := t.(*btf.Enum)
		if !ok {
			continue
		}
		for _, v := range enum.Values {
			if _, ok := all[v.Name]; !ok {
				all[v.Name] = v.Value
			}
		}
	}
	return all
}

// tracedArgs gives the words of a traced event's arguments by their place; those
// that are not given are left to the moment when the event happens.
type tracedArgs struct {
	sig    runtime.Signature
	known  bool           // the signature is
	words  map[int]uint64 // by index
	ret    uint64
	byName map[string]uint64 // iterators
	buffer map[string][]byte // iterators: what key and value point to
	bytes  []byte            // raw_tracepoint.w
}

// tracedArgs sorts the arguments of an event of a traced function.
func (p *planner) tracedArgs(h *hook, e *Event, regs []uint64) (*tracedArgs, error) {
	kernel, err := p.kernel()
	if err != nil {
		return nil, err
	}
	t := &tracedArgs{words: map[int]uint64{}, byName: map[string]uint64{}, buffer: map[string][]byte{}}
	sig, err := runtime.SignatureIn(kernel, h.signatureHook(), e.Target)
	if t.sig, t.known = sig, err == nil; err != nil && !errors.Is(err, types.ErrNoType) {
		return nil, err
	}
	names := h.namesIn(kernel, e.Target)
	slots := sig.Slots()
	for i, a := range e.Args {
		at, isArg := 0, false
		for k, param := range sig.Args {
			if isArg = param.Name == a.Name; isArg {
				break
			}
			at += slots[k]
		}
		var n int
		switch {
		case h.name == "iter" && isArg && takesBytes(e, a.Name):
			if t.buffer[a.Name], err = a.Value.appendBytes(nil); err != nil {
				return nil, err
			}
		case isArg:
			t.words[at], t.byName[a.Name] = regs[i], regs[i]
		case a.Name == "ret":
			t.ret = regs[i]
		case a.Name == "buffer":
			if t.bytes, err = a.Value.appendBytes(nil); err != nil {
				return nil, err
			}
		case slices.Contains(rawArgs, a.Name):
			fmt.Sscanf(a.Name, "arg%d", &n)
			t.words[n] = regs[i]
		case names == nil:
			return nil, &Error{Pos: a.Pos, Msg: fmt.Sprintf("the arguments of %s are not known: give arg0 to arg11", e.Name())}
		default:
			return nil, &Error{Pos: a.Pos, Msg: fmt.Sprintf("%s has no %s%s", e.Name(), a.Name, didYouMean(a.Name, names))}
		}
	}
	return t, nil
}

// resolve gives all words, those that the event does not name by their types.
func (t *tracedArgs) resolve(rt *runtime.Runtime) ([]uint64, error) {
	var words []uint64
	if rt != nil {
		var err error
		if words, err = rt.DefaultArgs(t.sig); err != nil {
			return nil, err
		}
	}
	for i, v := range t.words {
		if i >= len(words) {
			words = append(words, make([]uint64, i+1-len(words))...)
		}
		words[i] = v
	}
	return words, nil
}
