package scenario

import (
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
	Trace    []string        `json:"trace,omitempty"` // lines as trace_pipe has them
	Records  []Record        `json:"records,omitempty"`
	// Maps is what this event changed; see Options.MapChanges. It stands with the
	// last program that ran on the event.
	Maps []MapChange `json:"maps,omitempty"`

	// Raw is what the runtime gave.
	Raw runtime.Result `json:"-"`
}

// RedirectResult is the interface that bpf_redirect chose.
type RedirectResult struct {
	IfIndex uint32 `json:"ifindex"`
	Flags   uint64 `json:"flags"`
}

// Trap says why a run ended early.
type Trap struct {
	Kind string   `json:"kind"`
	Slot int      `json:"slot"`
	Msg  string   `json:"message"`
	Err  *vm.Trap `json:"-"`
}

// PacketResult is a packet before and after a run.
type PacketResult struct {
	Summary string      `json:"summary"` // of the packet as it came: "60B eth/arp"
	Before  []byte      `json:"-"`
	After   []byte      `json:"-"`
	Diff    *PacketDiff `json:"diff,omitempty"` // nil: unchanged
}

// MarshalJSON adds the bytes of the packet, in hexadecimal.
func (p *PacketResult) MarshalJSON() ([]byte, error) {
	type plain PacketResult
	return json.Marshal(struct {
		*plain
		Change string `json:"change"`
		Before string `json:"before"`
		After  string `json:"after,omitempty"` // when it differs
	}{(*plain)(p), p.String(), fmt.Sprintf("%x", p.Before), p.afterHex()})
}

func (p *PacketResult) afterHex() string {
	if p.Diff == nil {
		return ""
	}
	return fmt.Sprintf("%x", p.After)
}

// String is what happened to the packet: "packet unchanged".
func (p *PacketResult) String() string {
	if p.Diff == nil {
		return "packet unchanged"
	}
	return p.Diff.String()
}

// Record is what a program sent to user space through a ring buffer or a perf
// event array.
type Record struct {
	Map  string
	CPU  int
	Time uint64 // of the virtual clock, in nanoseconds
	Data []byte
}

// MarshalJSON gives the data in hexadecimal.
func (r Record) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Map  string `json:"map"`
		CPU  int    `json:"cpu"`
		Time uint64 `json:"time_ns"`
		Data string `json:"data"`
	}{r.Map, r.CPU, r.Time, fmt.Sprintf("%x", r.Data)})
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
		fmt.Fprintf(&b, "%s ", r.Packet.Summary)
	} else {
		fmt.Fprintf(&b, "%s ", r.Event)
	}
	fmt.Fprintf(&b, "%s r0=%s", r.Program, r0Text(r.R0))
	if r.Ret != "" {
		b.WriteString(" " + r.Ret)
	}
	fmt.Fprintf(&b, " %d insns", r.Insns)
	if r.Packet != nil {
		b.WriteString("  " + r.Packet.String())
	}
	if r.Trap != nil {
		b.WriteString("  trap: " + r.Trap.Msg)
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
func newRun(f *firing, index int, at time.Duration, res runtime.Result) *ProgRun {
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
		r.Packet = packetResult(f, res)
	}
	if res.Redirect != nil {
		r.Redirect = &RedirectResult{IfIndex: res.Redirect.IfIndex, Flags: res.Redirect.Flags}
	}
	for _, l := range res.Trace {
		r.Trace = append(r.Trace, l.String())
	}
	for _, rec := range res.Records {
		r.Records = append(r.Records, Record(rec))
	}
	return r
}

func packetResult(f *firing, res runtime.Result) *PacketResult {
	first := "eth"
	if f.link == LinkRaw {
		first = "ip"
	}
	before := DecodePacketAs(first, f.pkt)
	p := &PacketResult{Summary: before.Summary(), Before: f.pkt, After: res.Packet}
	if !slices.Equal(f.pkt, res.Packet) {
		p.Diff = diffDecoded(f.pkt, res.Packet, before, DecodePacketAs(first, res.Packet))
	}
	return p
}
