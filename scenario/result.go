package scenario

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Result is what a script, or a number of packets, did to the programs.
type Result struct {
	Runs []*ProgRun `json:"runs"`
	// Maps is what the maps hold at the end.
	Maps Snapshot `json:"maps"`
	// Before is what they held before the first event, Changes the difference.
	Before  Snapshot    `json:"-"`
	Changes []MapChange `json:"map_changes,omitempty"`

	Expect   []ExpectResult `json:"expect,omitempty"`
	Warnings []string       `json:"warnings,omitempty"`

	Events  int    `json:"events"`  // how many happened
	Insns   uint64 `json:"insns"`   // executed, in all
	Trapped int    `json:"trapped"` // runs that ended in a trap
}

// OK reports whether every expectation was met.
func (r *Result) OK() bool {
	return !slices.ContainsFunc(r.Expect, func(e ExpectResult) bool { return !e.OK })
}

// ProgRun is one run of one program on one event.
type ProgRun struct {
	Program string        `json:"program"`
	Event   string        `json:"event"` // "kprobe:vfs_read", "xdp"
	Index   int           `json:"index"` // of the event, from 1
	Pos     Pos           `json:"pos,omitzero"`
	Time    time.Duration `json:"time_ns"` // of the virtual clock
	CPU     int           `json:"cpu"`
	PID     uint32        `json:"pid"`
	Comm    string        `json:"comm"`

	R0       uint64          `json:"r0"`
	Ret      string          `json:"ret,omitempty"` // the name of r0: "XDP_DROP"
	Insns    uint64          `json:"insns"`
	Trap     *Trap           `json:"trap,omitempty"`
	Packet   *PacketResult   `json:"packet,omitempty"`
	Redirect *RedirectResult `json:"redirect,omitempty"`
	// Effects are what helpers did to the rest of the machine, one line each: packets
	// sent, signals, socket options, timers that ran.
	Effects []string `json:"effects,omitempty"`
	// Context is what the program changed in the context of a socket or cgroup hook.
	Context []FieldChange `json:"context,omitempty"`
	// Output is what an iterator wrote, what a flow dissector found, or the buffer of
	// a writable raw tracepoint.
	Output string `json:"output,omitempty"`
	// Answer is what the hook made of all programs' results. It stands with the last
	// program that ran on the event.
	Answer  *Answer  `json:"answer,omitempty"`
	Trace   []string `json:"trace,omitempty"` // lines as trace_pipe has them
	Records []Record `json:"records,omitempty"`
	// Maps is what this event changed; see Options.MapChanges. It stands with the
	// last program that ran on the event.
	Maps []MapChange `json:"maps,omitempty"`

	// Raw is what the runtime gave.
	Raw runtime.Result `json:"-"`
}

// Frame is the packet as the program left it, at the time of the event, for
// [WritePcap]. It has no bytes where the program takes no packets.
func (r *ProgRun) Frame() Frame {
	if r.Packet == nil {
		return Frame{}
	}
	return Frame{Time: time.Unix(0, int64(r.Time)).UTC(), Data: r.Packet.After, Size: len(r.Packet.After), Link: r.Packet.Link}
}

// RedirectResult is where a helper of the redirect family sent the packet.
type RedirectResult struct {
	IfIndex uint32 `json:"ifindex"`
	Flags   uint64 `json:"flags"`
	Kind    string `json:"kind,omitempty"` // "peer", "neigh", "map"; empty: bpf_redirect
	NextHop string `json:"next_hop,omitempty"`
	Map     string `json:"map,omitempty"`
	Key     uint64 `json:"key,omitempty"`
}

// String says where in a few words.
func (r *RedirectResult) String() string {
	switch {
	case r.Kind == "map":
		return fmt.Sprintf("map %s[%d]", r.Map, r.Key)
	case r.Kind == "peer":
		return fmt.Sprintf("peer of interface %d", r.IfIndex)
	case r.NextHop != "":
		return fmt.Sprintf("interface %d by way of %s", r.IfIndex, r.NextHop)
	case r.Kind == "neigh":
		return fmt.Sprintf("interface %d, to the neighbour", r.IfIndex)
	}
	return fmt.Sprintf("interface %d", r.IfIndex)
}

func newRedirect(r *runtime.Redirect) *RedirectResult {
	out := &RedirectResult{IfIndex: r.IfIndex, Flags: r.Flags, Kind: r.Kind, Map: r.Map, Key: r.Key}
	if r.NextHop.IsValid() {
		out.NextHop = r.NextHop.String()
	}
	return out
}

// Trap says why a run ended early.
type Trap struct {
	Kind string   `json:"kind"`
	Slot int      `json:"slot"`
	Msg  string   `json:"message"`
	Err  *vm.Trap `json:"-"`
}

// PacketResult is a packet before and after a run. It is decoded when somebody asks.
type PacketResult struct {
	Before []byte
	After  []byte
	Link   int // LinkEthernet, LinkRaw
}

// first is the name of the packet's outermost header.
func (p *PacketResult) first() string {
	switch p.Link {
	case LinkRaw:
		return "ip"
	case LinkUser:
		return ""
	}
	return "eth"
}

// Summary is the packet as it came, in a few words: "60B eth/arp".
func (p *PacketResult) Summary() string { return DecodePacketAs(p.first(), p.Before).Summary() }

// Changed reports whether the program changed the packet.
func (p *PacketResult) Changed() bool { return !slices.Equal(p.Before, p.After) }

// Diff says what changed.
func (p *PacketResult) Diff() *PacketDiff {
	first := p.first()
	return diffDecoded(p.Before, p.After, DecodePacketAs(first, p.Before), DecodePacketAs(first, p.After))
}

// MarshalJSON gives the summary, the change in words and in fields, and the bytes in
// hexadecimal; "after" and "diff" are there when the packet changed.
func (p *PacketResult) MarshalJSON() ([]byte, error) {
	out := struct {
		Summary string      `json:"summary"`
		Change  string      `json:"change"`
		Diff    *PacketDiff `json:"diff,omitempty"`
		Before  string      `json:"before"`
		After   string      `json:"after,omitempty"`
	}{Summary: p.Summary(), Change: p.String(), Before: hex.EncodeToString(p.Before)}
	if p.Changed() {
		out.Diff, out.After = p.Diff(), hex.EncodeToString(p.After)
	}
	return json.Marshal(out)
}

// String is what happened to the packet: "packet unchanged".
func (p *PacketResult) String() string {
	if !p.Changed() {
		return "packet unchanged"
	}
	return p.Diff().String()
}

// MarshalJSON gives keys and values as the map's dump does.
func (c MapChange) MarshalJSON() ([]byte, error) {
	side := func(b []byte) (json.RawMessage, error) {
		if b == nil {
			return nil, nil
		}
		return c.state.valueJSON(b)
	}
	key, err := c.state.keyJSON(c.Key)
	if err != nil {
		return nil, err
	}
	before, err := side(c.Before)
	if err != nil {
		return nil, err
	}
	after, err := side(c.After)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Map    string          `json:"map"`
		Kind   string          `json:"kind"`
		Key    json.RawMessage `json:"key"`
		Before json.RawMessage `json:"before,omitempty"`
		After  json.RawMessage `json:"after,omitempty"`
	}{c.Map, c.Kind(), key, before, after})
}

// String is the run on one line, as "bpfvm run" prints it.
func (r *ProgRun) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d ", r.Index)
	if r.Packet != nil {
		fmt.Fprintf(&b, "%s ", r.Packet.Summary())
	} else {
		fmt.Fprintf(&b, "%s ", r.Event)
	}
	if r.Trap != nil {
		fmt.Fprintf(&b, "%s trapped after %d insns: %s", r.Program, r.Insns, r.Trap.Msg)
		return b.String()
	}
	fmt.Fprintf(&b, "%s r0=%s", r.Program, r0Text(r.R0))
	if r.Ret != "" {
		b.WriteString(" " + r.Ret)
	}
	fmt.Fprintf(&b, " %d insns", r.Insns)
	if r.Packet != nil {
		b.WriteString("  " + r.Packet.String())
	}
	for _, c := range r.Context {
		b.WriteString("  " + c.String())
	}
	if r.Answer != nil {
		b.WriteString("  => " + r.Answer.Text)
	}
	return b.String()
}

// r0Text prints a return value: small ones in decimal, with their sign.
func r0Text(v uint64) string {
	if s := int64(v); s > -4096 && s < 1<<32 {
		return fmt.Sprint(s)
	}
	return fmt.Sprintf("%#x", v)
}

// newRun makes a run of the runtime's result.
func newRun(rt *runtime.Runtime, recs *RecordTypes, f *firing, index int, at time.Duration, res runtime.Result) *ProgRun {
	task := f.world.task()
	r := &ProgRun{
		Program: res.Prog.Name(), Event: f.ev.Name(), Index: index, Pos: f.ev.Pos, Time: at, CPU: f.world.cpu,
		PID: task.PID, Comm: task.Comm, R0: res.R0, Insns: res.Insns, Raw: res,
	}
	switch {
	case res.Trap != nil:
		r.Trap = &Trap{Kind: res.Trap.Kind.String(), Slot: int(res.Trap.PC), Msg: res.Trap.Error(), Err: res.Trap}
	default:
		r.Ret = spec.RetName(res.Prog.Type(), res.R0)
	}
	if isPacketHook(f.ev.Hook) {
		r.Packet = &PacketResult{Before: f.pkt, After: res.Packet, Link: f.link}
		switch h := findHook(f.ev.Hook); {
		case h.network:
			r.Packet.Before, _ = f.network()
			r.Packet.Link = LinkRaw
		case h.name == "sk_skb":
			r.Packet.Link = LinkUser
		}
	}
	r.Effects = effects(&res)
	r.Context = fieldChanges(res.Changed)
	r.Output = outputText(rt, res.Prog.Type(), res.Output)
	if res.Redirect != nil {
		r.Redirect = newRedirect(res.Redirect)
	}
	for _, l := range res.Trace {
		r.Trace = append(r.Trace, l.String())
	}
	for _, rec := range res.Records {
		r.Records = append(r.Records, recs.Record(rec))
	}
	return r
}
