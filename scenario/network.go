package scenario

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"bpfvm/runtime"
)

// WorldItem is one thing that helpers find outside of the programs: a link, a route, a
// neighbour, a socket or a cgroup.
type WorldItem struct {
	Pos
	What string // "link", "route", "neigh", "sock", "cgroup"
	Set  []Arg
}

func (w *WorldItem) format(b *strings.Builder) {
	b.WriteString(w.What)
	formatArgs(b, w.Set)
}

// worldNames are what each kind of thing can say of itself; those that come first up
// to the empty one must be there.
var worldNames = map[string][]string{
	"link":   {"index", "", "name", "mtu", "mac", "addr", "forwarding"},
	"route":  {"to", "", "link", "via", "src", "mtu", "metric", "table", "type"},
	"neigh":  {"ip", "link", "mac", ""},
	"sock":   {"proto", "local", "", "remote", "state", "link", "mark", "priority", "cookie", "uid", "cgroup", "v6only"},
	"cgroup": {"id", "parent", ""},
}

// worldItem takes a statement of [worldNames].
func worldItem(what string) func(*parser, Pos) (Stmt, *Error) {
	return func(p *parser, at Pos) (Stmt, *Error) {
		var names, must []string
		for _, n := range worldNames[what] {
			if n == "" {
				must = names
				continue
			}
			names = append(names, n)
		}
		args, err := p.args(what, names)
		if err != nil {
			return nil, err
		}
		w := &WorldItem{Pos: at, What: what, Set: args}
		for _, n := range must {
			if w.arg(n) == nil {
				return nil, p.errf(at, "%s wants %s=VALUE", what, n)
			}
		}
		return w, w.addTo(&runtime.World{})
	}
}

// arg returns what is said of a name, or nil.
func (w *WorldItem) arg(name string) *Arg {
	for i := range w.Set {
		if w.Set[i].Name == name {
			return &w.Set[i]
		}
	}
	return nil
}

// worldReader reads the arguments of an item; the first error stays.
type worldReader struct {
	*WorldItem
	err *Error
}

// number reads a number, 0 when it is not said.
func (r *worldReader) number(name string, limit uint64) uint64 {
	a := r.arg(name)
	if a == nil || r.err != nil {
		return 0
	}
	n, err := whole(a.Value, limit)
	r.err = err
	return n
}

// readWorld reads a word or a string and makes something of it.
func readWorld[T any](r *worldReader, name, want string, parse func(string) (T, error)) T {
	var zero T
	a := r.arg(name)
	if a == nil || r.err != nil {
		return zero
	}
	s, ok := a.Value.plain()
	v, err := parse(s)
	if !ok || err != nil {
		r.err = &Error{Pos: a.Value.Pos, Msg: fmt.Sprintf("%s=%s: %s is wanted", name, a.Value, want)}
		return zero
	}
	return v
}

func (r *worldReader) addr(name string) netip.Addr {
	return readWorld(r, name, `an address such as "10.0.0.1"`, netip.ParseAddr)
}

func (r *worldReader) mac(name string) [6]byte {
	return readWorld(r, name, `six bytes such as "02:00:00:00:00:01"`, func(s string) (mac [6]byte, err error) {
		hw, err := net.ParseMAC(s)
		if err == nil && len(hw) != len(mac) {
			err = strconv.ErrSyntax
		}
		copy(mac[:], hw)
		return mac, err
	})
}

// word reads one of some words; 0 when it is not said.
func (r *worldReader) word(name string, words map[string]uint32) uint32 {
	want := "one of " + strings.Join(keys(words), ", ")
	return readWorld(r, name, want, func(s string) (uint32, error) {
		v, ok := words[s]
		if !ok {
			return 0, strconv.ErrSyntax
		}
		return v, nil
	})
}

var routeTypes = map[string]uint32{
	"unicast": uint32(runtime.RouteUnicast), "local": uint32(runtime.RouteLocal), "blackhole": uint32(runtime.RouteBlackhole),
	"unreachable": uint32(runtime.RouteUnreachable), "prohibit": uint32(runtime.RouteProhibit),
}

var sockProtos = map[string]uint32{"tcp": 6, "udp": 17}

var sockStates = map[string]uint32{
	"established": runtime.TCPEstablished, "time_wait": runtime.TCPTimeWait, "close": runtime.TCPClose,
	"listen": runtime.TCPListen, "new_syn_recv": runtime.TCPNewSynRecv,
}

// addTo puts the thing into the world.
func (w *WorldItem) addTo(world *runtime.World) *Error {
	r := &worldReader{WorldItem: w}
	const u32 = math.MaxUint32
	switch w.What {
	case "link":
		link := runtime.NetLink{Index: uint32(r.number("index", u32)), MTU: 1500, MAC: r.mac("mac")}
		link.Name = readWorld(r, "name", "a name", func(s string) (string, error) { return s, nil })
		if r.arg("mtu") != nil {
			link.MTU = uint32(r.number("mtu", 1<<20))
		}
		if a := r.addr("addr"); a.IsValid() {
			link.Addrs = []netip.Addr{a}
		}
		link.NoForward = r.arg("forwarding") != nil && r.number("forwarding", 1) == 0
		world.Links = append(world.Links, link)
	case "route":
		route := runtime.Route{
			Via: r.addr("via"), Link: uint32(r.number("link", u32)), Src: r.addr("src"), MTU: uint32(r.number("mtu", 0xffff)),
			Metric: uint32(r.number("metric", u32)), Table: uint32(r.number("table", u32)), Type: runtime.RouteType(r.word("type", routeTypes)),
		}
		route.To = readWorld(r, "to", `a network such as "10.0.0.0/8"`, netip.ParsePrefix)
		world.Routes = append(world.Routes, route)
	case "neigh":
		world.Neighbours = append(world.Neighbours, runtime.Neighbour{IP: r.addr("ip"), Link: uint32(r.number("link", u32)), MAC: r.mac("mac")})
	case "sock":
		end := func(name string) netip.AddrPort {
			return readWorld(r, name, `an address with a port such as "10.0.0.1:80"`, netip.ParseAddrPort)
		}
		world.Sockets = append(world.Sockets, runtime.Socket{
			Protocol: uint8(r.word("proto", sockProtos)), Local: end("local"), Remote: end("remote"), State: r.word("state", sockStates),
			Link: uint32(r.number("link", u32)), Mark: uint32(r.number("mark", u32)), Priority: uint32(r.number("priority", u32)),
			Cookie: r.number("cookie", math.MaxUint64), UID: uint32(r.number("uid", u32)), CgroupID: r.number("cgroup", math.MaxUint64),
			V6Only: r.number("v6only", 1) == 1,
		})
	case "cgroup":
		if world.CgroupParents == nil {
			world.CgroupParents = map[uint64]uint64{}
		}
		world.CgroupParents[r.number("id", math.MaxUint64)] = r.number("parent", math.MaxUint64)
	}
	return r.err
}

// Stack sets a call stack for the events below it: the innermost address first.
type Stack struct {
	Pos
	User  bool
	Addrs []Value // numbers
}

func (s *Stack) format(b *strings.Builder) {
	whose := "kernel"
	if s.User {
		whose = "user"
	}
	b.WriteString("stack " + whose + " = ")
	formatList(b, s.Addrs)
}

// maxStack is the deepest stack that the kernel walks (kernel.perf_event_max_stack).
const maxStack = 127

// stack takes kernel or user, "=" and addresses.
func (p *parser) stack(at Pos) (Stmt, *Error) {
	s := &Stack{Pos: at}
	which, err := p.named("kernel or user")
	if err != nil {
		return nil, err
	}
	switch which {
	case "kernel":
	case "user":
		s.User = true
	default:
		return nil, p.errf(at, "stack is of the kernel or of the user, not of %s", which)
	}
	if err := p.equals(); err != nil {
		return nil, err
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if v.Kind != ValueNumber {
			return nil, p.errf(v.Pos, "%s is not an address", v)
		}
		if s.Addrs = append(s.Addrs, v); len(s.Addrs) > maxStack {
			return nil, p.errf(v.Pos, "more than %d addresses", maxStack)
		}
		if p.space(); !p.accept(",") {
			return s, nil
		}
	}
}

// addresses are the stack's.
func (s *Stack) addresses() []uint64 {
	ips := make([]uint64, len(s.Addrs))
	for i, v := range s.Addrs {
		ips[i] = v.Num
	}
	return ips
}
