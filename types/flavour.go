package types

import (
	"encoding/binary"
	"errors"
	"strings"
	"sync"

	"github.com/cilium/ebpf/btf"
)

// EssentialName cuts a flavour off: "task_struct___old" is "task_struct". The
// three underscores stand alone, with something before and after them
// (tools/lib/bpf/relo_core.c, bpf_core_essential_name_len).
func EssentialName(name string) string {
	for i := len(name) - 5; i >= 0; i-- {
		if name[i] != '_' && name[i+1:i+4] == "___" && name[i+4] != '_' {
			return name[:i+1]
		}
	}
	return name
}

// exactly returns the types of just that name. (The library's own search lets
// flavours of the name through where it has several.)
func exactly(spec *btf.Spec, name string) ([]btf.Type, error) {
	all, err := spec.AnyTypesByName(name)
	if errors.Is(err, btf.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := all[:0]
	for _, t := range all {
		if t.TypeName() == name {
			out = append(out, t)
		}
	}
	return out, nil
}

// Flavours returns the types of a name and of all its flavours: for "nf_conn", or
// for "nf_conn___old", struct nf_conn and struct nf_conn___init. Those of the name
// itself come first.
func Flavours(spec *btf.Spec, name string) ([]btf.Type, error) {
	name = EssentialName(name)
	out, err := exactly(spec, name)
	if err != nil {
		return nil, err
	}
	for _, flavour := range flavoured(spec)[name] {
		more, err := exactly(spec, flavour)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// flavourCache keeps the flavoured names of the last BTF asked for: there is one
// target to relocate against, and finding them means to look at all its types.
var flavourCache struct {
	sync.Mutex
	spec  *btf.Spec
	names map[string][]string
}

// flavoured returns the names with a flavour by the name without.
func flavoured(spec *btf.Spec) map[string][]string {
	if own, err := Target(); err == nil && spec == own {
		return targetFlavours
	}
	c := &flavourCache
	c.Lock()
	defer c.Unlock()
	if c.spec == spec {
		return c.names
	}
	names := make(map[string][]string)
	seen := make(map[string]bool)
	for t, err := range spec.All() {
		if err != nil {
			break // a type that cannot be read has no name either
		}
		name := t.TypeName()
		if essential := EssentialName(name); essential != name && !seen[name] {
			seen[name] = true
			names[essential] = append(names[essential], name)
		}
	}
	c.spec, c.names = spec, names
	return names
}

// flavouredStrings finds the names with a flavour among the strings of raw BTF,
// which takes less time than to decode the types.
func flavouredStrings(raw []byte) map[string][]string {
	names := make(map[string][]string)
	le := binary.LittleEndian
	text := string(raw[le.Uint32(raw[4:])+le.Uint32(raw[16:]):]) // hdr_len + str_off
	for name := range strings.SplitSeq(text, "\x00") {
		if essential := EssentialName(name); essential != name {
			names[essential] = append(names[essential], name)
		}
	}
	return names
}
