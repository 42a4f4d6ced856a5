package spec

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// CtxLayouts returns the contexts that do not depend on an event. The slice is
// shared: do not change it.
func CtxLayouts() []CtxLayout { return ctxLayouts[:] }

// CtxByName finds a context by the name of its structure: "xdp_md". Names with a
// slash are trace events: see Tracepoint.
func CtxByName(name string) *CtxLayout {
	if strings.Contains(name, "/") {
		return Tracepoint(name)
	}
	for i := range ctxLayouts {
		if ctxLayouts[i].Name == name {
			return &ctxLayouts[i]
		}
	}
	return nil
}

// ReadableBy reports whether programs of the type may load the field.
func (f *CtxField) ReadableBy(t ProgType) bool {
	return f.ReadBy == nil || slices.Contains(f.ReadBy, t)
}

// WritableBy reports whether programs of the type may store to the field.
func (f *CtxField) WritableBy(t ProgType) bool {
	return f.Write && (f.WriteBy == nil || slices.Contains(f.WriteBy, t))
}

// Access is the kind of an access to the context.
type Access uint8

// Kinds of accesses.
const (
	Read Access = iota
	Write
)

// CheckAccess reports whether a program of the type may access size bytes at the
// offset of the context, by the field rules; field is the one hit, nil outside of
// all. It models alignment and size rules per field (the kernel's
// *_is_valid_access functions), not what attach types add to them: see
// CheckAccessAt.
func (c *CtxLayout) CheckAccess(t ProgType, a Access, off, size uint32) (field *CtxField, ok bool) {
	field = c.FieldAt(off)
	if field == nil || off%max(size, 1) != 0 {
		return field, false
	}
	in, elem := off-field.Off, field.ElemSize()
	if a == Read && field.Word && in == 0 && size == 4 {
		return field, field.ReadableBy(t)
	}
	if size == 0 || size > field.Size-in {
		return field, false
	}
	whole := size == elem && in%elem == 0
	if a == Write {
		return field, field.WritableBy(t) && (whole || field.NarrowWrite || field.WideWrite && size == 8) && (in == 0 || !field.WriteFirst)
	}
	if !field.ReadableBy(t) {
		return field, false
	}
	switch {
	case whole:
		return field, true
	case size < elem:
		return field, field.Narrow || field.NarrowStart && in == 0 || field.Half && size == 2
	}
	return field, field.Wide && size == 8
}

// CheckAccessAt is CheckAccess for one attach type.
func (c *CtxLayout) CheckAccessAt(t ProgType, attach AttachType, a Access, off, size uint32) (field *CtxField, ok bool) {
	field, ok = c.CheckAccess(t, a, off, size)
	if !ok {
		return field, false
	}
	for i := range field.Attach {
		r := &field.Attach[i]
		if r.Type == t && (a == Read && r.Read || a == Write && r.Write) {
			return field, slices.Contains(r.Attach, attach)
		}
	}
	return field, true
}

// tracepointRow is a trace event as the generated table keeps it.
type tracepointRow struct {
	name   string
	fields string // "offset size name C type" joined by ';', "!" before a signed name
}

// Tracepoints returns the names of the trace events whose layout is known:
// "sched/sched_switch". Exit events of system calls are one entry,
// "syscalls/sys_exit_*".
func Tracepoints() []string {
	names := make([]string, len(tracepoints))
	for i := range tracepoints {
		names[i] = tracepoints[i].name
	}
	return names
}

var tracepointCache sync.Map // name -> *CtxLayout

// Tracepoint returns the layout of a trace event's record, the context of a
// tracepoint program, or nil when it is not in the table. The first eight bytes
// are the common fields, which programs cannot read. System calls without an
// entry of their own have the general layout, six arguments named args.
func Tracepoint(name string) *CtxLayout {
	if c, ok := tracepointCache.Load(name); ok {
		return c.(*CtxLayout)
	}
	row, ok := findTracepoint(name)
	if !ok {
		return nil
	}
	c := row.layout(name)
	tracepointCache.Store(name, c)
	return c
}

func findTracepoint(name string) (tracepointRow, bool) {
	search := func(name string) (tracepointRow, bool) {
		i, ok := slices.BinarySearchFunc(tracepoints[:], name, func(r tracepointRow, name string) int {
			return strings.Compare(r.name, name)
		})
		if !ok {
			return tracepointRow{}, false
		}
		return tracepoints[i], true
	}
	if row, ok := search(name); ok {
		return row, true
	}
	if call, ok := strings.CutPrefix(name, "syscalls/sys_exit_"); ok && call != "" {
		// Every system call that can be entered can be left.
		if _, known := search("syscalls/sys_enter_" + call); known {
			return search("syscalls/sys_exit_*")
		}
	}
	return tracepointRow{}, false
}

// layout parses the row's text, which the generator checked.
func (r tracepointRow) layout(name string) *CtxLayout {
	common := CtxByName("tracepoint")
	c := &CtxLayout{
		Name:   name,
		Fields: slices.Clone(common.Fields),
		Doc:    "The record of the trace event " + name + ".",
		Source: "/sys/kernel/tracing/events/" + name + "/format",
	}
	for text := range strings.SplitSeq(r.fields, ";") {
		w := strings.SplitN(text, " ", 4)
		if len(w) < 4 {
			continue // an event without fields
		}
		off, _ := strconv.ParseUint(w[0], 10, 32)
		size, _ := strconv.ParseUint(w[1], 10, 32)
		c.Fields = append(c.Fields, CtxField{
			Name: strings.TrimPrefix(w[2], "!"), Off: uint32(off), Size: uint32(size), CType: w[3], Narrow: true,
			Signed: w[2][0] == '!',
		})
		c.Size = max(c.Size, uint32(off+size))
	}
	return c
}
