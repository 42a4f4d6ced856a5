package runtime

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Context is what the hooks of sockets, cgroups and their like give to programs: a
// structure of plain fields, in which some point to a socket or to bytes. The file
// hook_socket.go has the types of sockets, hook_cgroup.go those of cgroups.
type Context struct {
	Type spec.ProgType
	// Fields are set by name, as the layout of the type has them
	// ([spec.ProgType.Ctx]); the hook knows good values for the others.
	Fields []FieldValue
	// Sock are fields of the socket that sk points to (struct bpf_sock).
	Sock []FieldValue
	// NoSock makes sk NULL.
	NoSock bool
	// Data is what the pointers to bytes bound: the message, the packet, the value
	// of the socket option.
	Data []byte
	// Sysctl is what a cgroup/sysctl program is asked about.
	Sysctl Sysctl
	// Attach chooses between the hooks of a type, for the values of fields that are
	// not set; the program's own when it is 0.
	Attach spec.AttachType
	CPU    int

	carried []byte // the context as the program before left it
}

// FieldValue is the content of one field of a structure, as it lies in memory. What
// it does not fill is zero.
type FieldValue struct {
	Name string
	Data []byte
}

// Number is the value of a field of up to 8 bytes.
func Number(name string, v uint64) FieldValue {
	return FieldValue{name, bytes.TrimRight(binary.LittleEndian.AppendUint64(nil, v), "\x00")}
}

// contextKind is what a program type adds to the layout of its context.
type contextKind struct {
	// defaults are the fields that a hook always fills.
	defaults func(*Context) []FieldValue
	// write says that programs may change the bytes behind the data pointers.
	write bool
	// hasSock says that sk points to a socket unless told otherwise.
	hasSock bool
	// length is the field that holds the number of bytes in Data; empty: none.
	length string
}

// contextKinds are the types that run on a [Context]; the hook files fill it.
var contextKinds = map[spec.ProgType]contextKind{}

func (c *Context) accepts(t spec.ProgType) bool {
	_, ok := contextKinds[t]
	return ok && t == c.Type
}

func (c *Context) on() int { return c.CPU }

func (c *Context) setup(e *Env, p *Program) (*vm.Region, error) {
	kind, layout := contextKinds[c.Type], c.Type.Ctx()
	cpu := e.rt.cpus[e.cpu]
	e.sysctl = c.Sysctl
	ctx, err := e.rt.windowAt(cpu, vm.RegionCtx, uint64(layout.Size), vm.PermRead)
	if err != nil {
		return nil, err
	}
	if c.Attach == 0 {
		c.Attach = p.spec.Attach
	}
	b := e.rt.mem.Raw(ctx.Base, ctx.Size)
	if c.carried != nil {
		copy(b, c.carried)
	} else if err := c.fill(b, layout, &kind); err != nil {
		return nil, err
	}
	e.openWritable(ctx, layout, c.Type)
	if err := c.point(e, b, layout, &kind); err != nil {
		return nil, err
	}
	e.before = bytes.Clone(e.rt.mem.Raw(ctx.Base, ctx.Size))
	return ctx, nil
}

// fill writes the fields that are numbers.
func (c *Context) fill(b []byte, layout *spec.CtxLayout, kind *contextKind) error {
	if kind.defaults != nil {
		if err := putFields(b, layout, kind.defaults(c)); err != nil {
			return err
		}
	}
	if kind.length != "" {
		if err := putFields(b, layout, []FieldValue{Number(kind.length, uint64(len(c.Data)))}); err != nil {
			return err
		}
	}
	return putFields(b, layout, c.Fields)
}

// putFields writes fields by name.
func putFields(b []byte, layout *spec.CtxLayout, fields []FieldValue) error {
	for _, v := range fields {
		f := layout.Field(v.Name)
		switch {
		case f == nil:
			return fmt.Errorf("%s has no field %s: %w", layout.Name, v.Name, spec.EINVAL)
		case f.Kind != spec.FieldScalar:
			return fmt.Errorf("%s.%s is a pointer, which the hook fills: %w", layout.Name, v.Name, spec.EINVAL)
		case len(v.Data) > int(f.Size):
			return fmt.Errorf("%s.%s: %d bytes, the field has %d: %w", layout.Name, v.Name, len(v.Data), f.Size, spec.EINVAL)
		}
		place := b[f.Off : f.Off+f.Size]
		clear(place)
		copy(place, v.Data)
	}
	return nil
}

// openWritable lets the program store to the fields that its type may change.
func (e *Env) openWritable(ctx *vm.Region, layout *spec.CtxLayout, t spec.ProgType) {
	for i := range layout.Fields {
		if f := &layout.Fields[i]; f.WritableBy(t) {
			e.rt.mem.Protect(ctx.Base+uint64(f.Off), uint64(f.Size), vm.PermRW)
		}
	}
}

// point fills the pointers: to the socket and to the bytes.
func (c *Context) point(e *Env, b []byte, layout *spec.CtxLayout, kind *contextKind) error {
	ctxBase := e.rt.cpus[e.cpu].windows[windowKey{vm.RegionCtx, 0}].r.Base
	if f := layout.Field("sk"); f != nil && kind.hasSock && !c.NoSock {
		sk, err := e.newSock(c.Sock)
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint64(e.rt.mem.Raw(ctxBase+uint64(f.Off), 8), sk)
	}
	start, end := layout.Field("data"), layout.Field("data_end")
	switch c.Type {
	case spec.ProgCgroupSockopt:
		start, end = layout.Field("optval"), layout.Field("optval_end")
	case spec.ProgSockOps:
		start, end = layout.Field("skb_data"), layout.Field("skb_data_end")
	}
	if start == nil || end == nil {
		return nil
	}
	if len(c.Data) > maxContextData {
		return fmt.Errorf("%d bytes of data: at most %d: %w", len(c.Data), maxContextData, spec.EINVAL)
	}
	perm := vm.PermRead
	if kind.write {
		perm = vm.PermRW
	}
	room := uint64(skbTailroom)
	if c.Type == spec.ProgSKMsg {
		room = msgRoom
		e.msg = message{uint64(len(c.Data)), []uint64{uint64(len(c.Data))}}
	}
	pkt, err := e.newPacket(c.Data, 0, room, perm)
	if err != nil {
		return err
	}
	e.packet = pkt
	pkt.sync = func() {
		b := e.rt.mem.Raw(ctxBase, uint64(layout.Size))
		binary.LittleEndian.PutUint64(b[start.Off:], pkt.r.Start)
		binary.LittleEndian.PutUint64(b[end.Off:], pkt.r.End)
		if c.Type == spec.ProgSKMsg {
			binary.LittleEndian.PutUint32(b[layout.Field("size").Off:], uint32(e.msg.size))
		}
	}
	pkt.sync()
	return nil
}

// maxContextData bounds the bytes behind a context's pointers: a socket option has
// at most a page (kernel/bpf/cgroup.c, sockopt_alloc_buf), a message less than the
// largest packet.
const maxContextData = skbMaxLen

func (c *Context) finish(e *Env, res *Result) {
	switch {
	case c.Type == spec.ProgSKMsg:
		res.Packet = bytes.Clone(e.msg.bytes(e))
	case e.packet != nil:
		res.Packet = e.packet.bytes()
	case c.Type == spec.ProgLircMode2:
		res.Output = e.output
	case c.Type == spec.ProgCgroupSysctl && e.sysctl.New != c.Sysctl.New:
		res.Output = []byte(e.sysctl.New)
	}
	layout := c.Type.Ctx()
	for i := range layout.Fields {
		f := &layout.Fields[i]
		if f.Kind != spec.FieldScalar || int(f.Off+f.Size) > len(res.Ctx) {
			continue
		}
		was, now := e.before[f.Off:f.Off+f.Size], res.Ctx[f.Off:f.Off+f.Size]
		if !bytes.Equal(was, now) {
			res.Changed = append(res.Changed, FieldChange{f, bytes.Clone(was), bytes.Clone(now)})
		}
	}
}

// next is the context for the program that runs after this result.
func (c *Context) next(res *Result) *Context {
	n := *c
	n.carried = res.Ctx
	if res.Packet != nil {
		n.Data = res.Packet
	}
	if c.Type == spec.ProgCgroupSysctl && res.Output != nil {
		n.Sysctl.New = string(res.Output)
	}
	return &n
}

// FieldChange is a field of the context that a program has changed.
type FieldChange struct {
	Field         *spec.CtxField
	Before, After []byte
}

// String is the change in numbers: "user_port 20480 -> 36895".
func (c FieldChange) String() string {
	return fmt.Sprintf("%s %s -> %s", c.Field.Name, c.number(c.Before), c.number(c.After))
}

func (c FieldChange) number(b []byte) string {
	switch len(b) {
	case 1:
		return fmt.Sprint(b[0])
	case 2:
		return fmt.Sprint(binary.LittleEndian.Uint16(b))
	case 4:
		return fmt.Sprint(binary.LittleEndian.Uint32(b))
	case 8:
		return fmt.Sprint(binary.LittleEndian.Uint64(b))
	}
	return fmt.Sprintf("%x", b)
}
