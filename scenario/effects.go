package scenario

import (
	"fmt"
	"net/netip"

	"bpfvm/runtime"
)

// effects says what helpers did besides returning numbers and changing packets and
// maps.
func effects(res *runtime.Result) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, c := range res.Clones {
		say("a copy of the packet, %d bytes, goes to %s", len(c.Packet), newRedirect(&c.Redirect))
	}
	if s := res.Assigned; s != nil {
		say("the packet goes to the socket %s", socketText(s))
	}
	for _, s := range res.Signals {
		who := "process"
		if s.Thread {
			who = "thread"
		}
		say("signal %d to %s %d", s.Number, who, s.PID)
	}
	for _, o := range res.Sockopts {
		say("socket option %d of level %d set to %x", o.Name, o.Level, o.Value)
	}
	if res.Bound.IsValid() {
		say("the socket is bound to %s", res.Bound)
	}
	for _, t := range res.Timers {
		if t.Trap != nil {
			say("timer %s, due at %d ns: %v", t.Func, t.Expires, t.Trap)
			continue
		}
		say("timer %s, due at %d ns, ran %d instructions", t.Func, t.Expires, t.Insns)
	}
	return out
}

// socketText is a socket in a few words: "tcp 10.0.0.1:80".
func socketText(s *runtime.Socket) string {
	proto := fmt.Sprintf("protocol %d", s.Protocol)
	for name, n := range sockProtos {
		if n == uint32(s.Protocol) {
			proto = name
		}
	}
	if s.Remote != (netip.AddrPort{}) {
		return fmt.Sprintf("%s %s from %s", proto, s.Local, s.Remote)
	}
	return fmt.Sprintf("%s %s", proto, s.Local)
}
