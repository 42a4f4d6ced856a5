package debug

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// access is memory that a step is about to touch.
type access struct {
	addr        uint64
	size        uint64
	read, write bool
}

func (a *access) overlaps(addr, size uint64) bool {
	return a.size > 0 && a.addr < addr+size && addr < a.addr+a.size
}

// maxArg bounds what a helper's argument is taken to cover.
const maxArg = 1 << 20

// accesses lists the memory that the step at the point will touch: of a load or a
// store one piece, of a helper call each argument that points to memory.
func accesses(p *Point) []access {
	if p.st == nil {
		return nil
	}
	code, st := p.st.Code(), p.st
	ins := code.Insns[st.PC()]
	reg := func(r isa.Register) uint64 { v, _ := st.Reg(r); return v }
	switch class := ins.Op.Class(); {
	case class == isa.ClassLDX:
		return []access{{reg(ins.Src()) + uint64(int64(ins.Off)), uint64(ins.Op.Size().Bytes()), true, false}}
	case class == isa.ClassST, class == isa.ClassSTX:
		a := access{reg(ins.Dst()) + uint64(int64(ins.Off)), uint64(ins.Op.Size().Bytes()), false, true}
		if class == isa.ClassSTX && ins.Op.Mode() == isa.ModeATOMIC {
			switch isa.AtomicOp(ins.Imm) {
			case isa.AtomicLoadAcq:
				a.addr = reg(ins.Src()) + uint64(int64(ins.Off))
				a.read, a.write = true, false
			case isa.AtomicStoreRel:
			default:
				a.read = true
			}
		}
		return []access{a}
	case ins.IsHelperCall():
		if h := code.Helpers[ins.Imm]; h != nil && h.Proto != nil {
			return helperAccesses(h.Proto, reg, helperMap(p, h.Proto))
		}
	}
	return nil
}

func helperAccesses(proto *spec.HelperProto, reg func(isa.Register) uint64, m runtime.Map) []access {
	var out []access
	for i := range proto.NumArgs() {
		a := access{addr: reg(isa.R1 + isa.Register(i)), read: true}
		switch proto.Args[i] {
		case spec.ArgMem, spec.ArgMemOrNull, spec.ArgUninitMem:
			if i+1 < len(proto.Args) {
				a.size = min(reg(isa.R2+isa.Register(i)), maxArg)
			}
			a.write = proto.Args[i] == spec.ArgUninitMem
		case spec.ArgMapKey:
			if m != nil {
				a.size = uint64(m.Spec().KeySize)
			}
		case spec.ArgFixedMem:
			a.size = uint64(proto.ArgSizes[i])
		case spec.ArgMapValue, spec.ArgMapValueOrNull, spec.ArgUninitMapValue:
			if m != nil && a.addr != 0 {
				a.size = uint64(m.Spec().ValueSize)
			}
			a.write = proto.Args[i] == spec.ArgUninitMapValue
		case spec.ArgLong:
			a.size, a.write = 8, true
		case spec.ArgInt:
			a.size, a.write = 4, true
		default:
			continue
		}
		a.read = !a.write
		out = append(out, a)
	}
	return out
}

// helperMap returns the map among the arguments of the helper that is about to be
// called, or nil.
func helperMap(p *Point, proto *spec.HelperProto) runtime.Map {
	i := slices.Index(proto.Args[:], spec.ArgConstMapPtr)
	if i < 0 {
		return nil
	}
	v, _ := p.st.Reg(isa.R1 + isa.Register(i))
	r := p.st.Machine().Mem.Find(v)
	if r == nil || r.Kind != vm.RegionMap || r.Base != v {
		return nil
	}
	m, _ := r.Owner.(runtime.Map)
	return m
}

// memPlace is stack:-8 write, packet:12 read, ctx:0 access: bytes of the memory that
// the running function sees. Off counts from the frame pointer, the packet's first
// byte, or the context.
type memPlace struct {
	kind        vm.RegionKind
	word        string
	off         int64
	size        uint64
	read, write bool

	step   uint64
	armed  bool
	sure   bool // the step touches it; else only a change tells
	before []byte
	addr   uint64
}

func (w *memPlace) String() string {
	s := w.word + ":" + signedNumber(w.off)
	if w.size != 8 {
		s += "/" + number(w.size)
	}
	switch {
	case w.read && w.write:
		return s + " access"
	case w.read:
		return s + " read"
	}
	return s + " write"
}

func (w *memPlace) forget() { w.armed = false }

func (w *memPlace) prepare(p *Point) {
	w.armed = false
	start, ok := regionStart(p, w.kind)
	if !ok {
		return
	}
	addr := start + uint64(w.off)
	w.sure = false
	for _, a := range accesses(p) {
		w.sure = w.sure || a.overlaps(addr, w.size) && (w.read && a.read || w.write && a.write)
	}
	// A helper may write more than its arguments say: by a function that it calls.
	if w.sure || w.write && p.st.Code().Insns[p.st.PC()].IsHelperCall() {
		w.armed, w.step, w.addr = true, p.Step, addr
		w.before = bytes.Clone(peek(p, addr, w.size))
	}
}

func (w *memPlace) at(p *Point) (string, bool) {
	if !w.armed || p.Step != w.step+1 || p.e.index.faultAt(w.step) != nil {
		return "", false
	}
	after := peek(p, w.addr, w.size)
	if bytes.Equal(after, w.before) {
		return hexBytes(after), w.sure
	}
	return hexBytes(w.before) + " -> " + hexBytes(after), true
}

// regionStart is where offsets of a kind of memory count from.
func regionStart(p *Point, kind vm.RegionKind) (uint64, bool) {
	if p.st == nil {
		return 0, false
	}
	switch kind {
	case vm.RegionStack:
		return p.st.Machine().FrameTop(p.Frame), true
	case vm.RegionPacket:
		r := packetRegion(p)
		if r == nil {
			return 0, false
		}
		return r.Start, true
	}
	return p.st.Machine().Ctx, p.st.Machine().Ctx != 0
}

// packetRegion is the packet of the running program, nil where there is none. The
// context says where it is.
func packetRegion(p *Point) *vm.Region {
	if p.st == nil {
		return nil
	}
	m, code := p.st.Machine(), p.st.Code()
	if code.Ctx == nil {
		return nil
	}
	f := code.Ctx.Field("data")
	if f == nil || f.Kind != spec.FieldPacket {
		return nil
	}
	v, err := m.Mem.Load(m.Ctx+uint64(f.Off), 4)
	if err != nil {
		return nil
	}
	if r := m.Mem.Find(v); r != nil && r.Kind == vm.RegionPacket {
		return r
	}
	return nil
}

// peek returns bytes of the arena whatever their permissions are, nil outside of it.
func peek(p *Point, addr, size uint64) []byte {
	buf, _ := p.e.world.Memory.View()
	if addr >= uint64(len(buf)) || size > uint64(len(buf))-addr {
		return nil
	}
	return buf[addr : addr+size]
}

// mapPlace is map:counts[6] write.
type mapPlace struct {
	name  string
	key   []byte // nil: any element
	words string // the key as it was written

	step    uint64
	armed   bool
	touched bool // the step writes for sure, whether bytes change or not
	before  []byte
}

func (w *mapPlace) String() string {
	if w.key == nil {
		return "map:" + w.name + " write"
	}
	return "map:" + w.name + "[" + w.words + "] write"
}

func (w *mapPlace) forget() { w.armed = false }

func (w *mapPlace) prepare(p *Point) {
	w.armed, w.touched = false, false
	if p.st == nil || p.e.world.Collection == nil {
		return
	}
	m := p.e.world.Collection.Map(w.name)
	if m == nil {
		return
	}
	code := p.st.Code()
	ins := code.Insns[p.st.PC()]
	if ins.IsHelperCall() {
		h := code.Helpers[ins.Imm]
		if h == nil || h.Proto == nil {
			return
		}
		touched := helperMap(p, h.Proto) == m && writesMap(h.Proto)
		for _, a := range accesses(p) {
			touched = touched || a.write && w.inMap(p, m, a.addr)
		}
		switch {
		case !touched && !callsBack(h.Proto):
			return
		case touched && w.key == nil:
			w.armed, w.touched, w.step = true, true, p.Step
			return
		}
	} else {
		a := accesses(p)
		if len(a) == 0 || !a[0].write || !w.inMap(p, m, a[0].addr) {
			return
		}
		if w.key == nil {
			w.armed, w.touched, w.step = true, true, p.Step
			return
		}
		if array, ok := m.(*runtime.Array); ok && len(w.key) == 4 {
			base := array.ValueAddr(uint32(little(w.key)))
			w.touched = a[0].overlaps(base, uint64(m.Spec().ValueSize))
		}
	}
	w.armed, w.step = true, p.Step
	w.before = w.lookup(p, m)
}

// inMap reports whether an address lies in an element of the map.
func (w *mapPlace) inMap(p *Point, m runtime.Map, addr uint64) bool {
	r := p.e.world.Memory.Find(addr)
	return r != nil && r.Kind == vm.RegionMapValue && r.Name == m.Name()
}

// lookup returns the value of the key, or a digest of all elements where any counts.
func (w *mapPlace) lookup(p *Point, m runtime.Map) (value []byte) {
	p.unlocked(func() {
		if w.key != nil {
			value, _ = m.Lookup(w.key) // nil: there is none
			return
		}
		sum := sha256.New()
		for k, v := range runtime.All(m) {
			sum.Write(k)
			sum.Write(v)
		}
		value = sum.Sum(nil)
	})
	return value
}

// callsBack says whether a helper runs a function of the program.
func callsBack(proto *spec.HelperProto) bool {
	return slices.Contains(proto.Args[:], spec.ArgFunc)
}

func (w *mapPlace) at(p *Point) (string, bool) {
	if !w.armed || p.Step != w.step+1 || p.e.index.faultAt(w.step) != nil {
		return "", false
	}
	if w.key == nil && w.touched {
		return "", true
	}
	after := w.lookup(p, p.e.world.Collection.Map(w.name))
	if !w.touched && bytes.Equal(w.before, after) && (w.before == nil) == (after == nil) {
		return "", false
	}
	if w.key == nil {
		return "", true
	}
	return valueWords(w.before) + " -> " + valueWords(after), true
}

// writesMap says whether a helper changes the elements of the map it is given.
func writesMap(proto *spec.HelperProto) bool {
	switch proto.Name {
	case "bpf_map_update_elem", "bpf_map_delete_elem", "bpf_map_push_elem", "bpf_map_pop_elem",
		"bpf_ringbuf_output", "bpf_ringbuf_reserve", "bpf_perf_event_output":
		return true
	}
	return false
}

// Access returns the memory that the next instruction loads or stores; ok is false
// for other instructions.
func (s *Session) Access() (addr, size uint64, ok bool) {
	if s.here.st == nil {
		return 0, 0, false
	}
	if ins := s.here.st.Code().Insns[s.here.st.PC()]; ins.IsHelperCall() {
		return 0, 0, false
	}
	a := accesses(s.here)
	if len(a) == 0 {
		return 0, 0, false
	}
	return a[0].addr, a[0].size, true
}
