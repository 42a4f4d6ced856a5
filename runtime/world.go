package runtime

import (
	"cmp"
	"net/netip"
)

// World is the rest of the machine as far as helpers ask for it: network interfaces,
// routes, neighbours, sockets and cgroups. Nothing in it changes by itself; change it between
// runs only.
type World struct {
	Links      []NetLink
	Routes     []Route
	Neighbours []Neighbour
	Sockets    []Socket
	// CgroupParents says which cgroup each one lies in; others lie in the root,
	// whose id is 1.
	CgroupParents map[uint64]uint64
}

// NetLink is a network interface (struct net_device).
type NetLink struct {
	Index uint32
	Name  string
	MTU   uint32
	MAC   [6]byte
	Addrs []netip.Addr
	// NoForward says that packets that come in here are not forwarded: the sysctl
	// net.ipv4.conf.NAME.forwarding and its IPv6 sibling are 0.
	NoForward bool
}

// Loopback is the interface that every machine has.
var Loopback = NetLink{Index: 1, Name: "lo", MTU: 65536, NoForward: true}

// RouteType is what happens to packets on a route (include/uapi/linux/rtnetlink.h,
// RTN_*).
type RouteType uint8

// Types of routes.
const (
	RouteUnicast     RouteType = 1
	RouteLocal       RouteType = 2
	RouteBlackhole   RouteType = 6
	RouteUnreachable RouteType = 7
	RouteProhibit    RouteType = 8
)

// mainTable is RT_TABLE_MAIN.
const mainTable = 254

// Route is an entry of a routing table.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr // the gateway; invalid: the destination is on the link
	Link   uint32     // the interface to send on
	Src    netip.Addr // preferred source address
	MTU    uint32     // 0: the interface's
	Metric uint32
	Table  uint32 // 0: the main table
	Type   RouteType
}

// Neighbour says which link-layer address a host on a link has.
type Neighbour struct {
	IP   netip.Addr
	Link uint32
	MAC  [6]byte
}

// link returns an interface, nil when there is none with that index.
func (w *World) link(index uint32) *NetLink {
	for i := range w.Links {
		if w.Links[i].Index == index {
			return &w.Links[i]
		}
	}
	if index == Loopback.Index {
		return &Loopback
	}
	return nil
}

// route returns the best route to an address: the longest prefix, then the least
// metric, of those of the table that leave by the interface; table 0 and interface 0
// are any.
func (w *World) route(to netip.Addr, table, link uint32) *Route {
	var best *Route
	for i := range w.Routes {
		r := &w.Routes[i]
		switch {
		case !r.To.Contains(to),
			table != 0 && table != cmp.Or(r.Table, mainTable),
			link != 0 && link != r.Link:
		case best == nil, r.To.Bits() > best.To.Bits(), r.To.Bits() == best.To.Bits() && r.Metric < best.Metric:
			best = r
		}
	}
	return best
}

// neighbour returns the entry of a host on a link, or nil.
func (w *World) neighbour(ip netip.Addr, link uint32) *Neighbour {
	for i := range w.Neighbours {
		if n := &w.Neighbours[i]; n.IP == ip && n.Link == link {
			return n
		}
	}
	return nil
}
