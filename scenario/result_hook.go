package scenario

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// FieldChange is a field of the context that a program changed.
type FieldChange struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// String is the change: "user_ip4 10.0.0.1->127.0.0.1".
func (c FieldChange) String() string { return c.Field + " " + c.Before + "->" + c.After }

// Answer is what a hook makes of the results of several programs.
type Answer struct {
	Value int64  `json:"value"`
	Text  string `json:"text"` // "allowed", "EPERM", "TC_ACT_SHOT"
}

// fieldChanges puts changes of a context into words: addresses and ports, which are
// kept in network order, as people write them.
func fieldChanges(list []runtime.FieldChange) []FieldChange {
	var out []FieldChange
	for _, c := range list {
		out = append(out, FieldChange{c.Field.Name, fieldText(c.Field, c.Before), fieldText(c.Field, c.After)})
	}
	return out
}

func fieldText(f *spec.CtxField, b []byte) string {
	switch name := f.Name; {
	case strings.HasSuffix(name, "ip4") && len(b) == 4, strings.HasSuffix(name, "ip6") && len(b) == 16:
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	case name == "user_port" && len(b) == 4:
		return fmt.Sprint(binary.BigEndian.Uint16(b))
	}
	if len(b) > 8 { // an array of words
		var words []string
		for ; len(b) >= 4; b = b[4:] {
			words = append(words, number(b[:4], strings.Contains(f.CType, "__s")))
		}
		return "[" + strings.Join(words, " ") + "]"
	}
	return number(b, strings.Contains(f.CType, "__s"))
}

// number prints a little-endian number.
func number(b []byte, signed bool) string {
	var raw [8]byte
	copy(raw[:], b)
	v := binary.LittleEndian.Uint64(raw[:])
	if shift := 64 - 8*len(b); signed {
		return fmt.Sprint(int64(v<<shift) >> shift)
	}
	return fmt.Sprint(v)
}

// outputText is what a hook takes from a program besides its result: the text of an
// iterator, the keys of a flow dissector, the buffer of a raw tracepoint.
func outputText(rt *runtime.Runtime, t spec.ProgType, b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case t == spec.ProgTracing || t == spec.ProgLircMode2 || t == spec.ProgCgroupSysctl:
		return string(b)
	case t == spec.ProgFlowDissector:
		if keys, err := types.TypeByName(rt.Target(), "struct bpf_flow_keys"); err == nil {
			if text, err := types.Text(keys, b); err == nil {
				return text
			}
		}
	}
	return hex.EncodeToString(b)
}

// answer puts what a run array came to into words; nil where it says nothing beyond
// the results of the programs.
func answer(f *runtime.Firing) *Answer {
	kind, _, _ := strings.Cut(f.Target, ":")
	ret := int64(f.Ret)
	a := &Answer{Value: ret}
	switch kind {
	case "cgroup", "cgroup_skb", "sockops", "lsm", "lsm_cgroup", "fmod_ret":
		ret = int64(int32(ret))
		a.Value = ret
		switch {
		case ret < 0:
			a.Text = spec.Errno(-ret).Error()
		case f.Target == "cgroup_skb:egress" && ret == 1:
			a.Text = "NET_XMIT_DROP"
		case f.Target == "cgroup_skb:egress" && ret == 2:
			a.Text = "NET_XMIT_CN"
		case ret == 0:
			a.Text = "allowed"
		default:
			a.Text = fmt.Sprint(ret)
		}
		return a
	}
	if n := len(f.Results); n > 1 && (kind == "tcx" || kind == "netkit" || kind == "netfilter" || kind == "sk_lookup") {
		last := f.Results[n-1]
		if a.Text = spec.RetName(last.Prog.Type(), f.Ret); a.Text == "" {
			a.Text = fmt.Sprint(int32(ret))
		}
		return a
	}
	return nil
}
