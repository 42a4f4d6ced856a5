package difftest

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// The memory of generated programs.
//
//	fp-8 .. fp-64     8 slots of numbers
//	fp-72             key of the map calls, 4 bytes
//	fp-80             value of the map calls
//	fp-88             the context
//	R6                the packet, of which packetBytes are proven
//	R9                the value of map "out": scratch bytes, then all registers,
//	                  then the hash
//	R8                counts loops, and is a number outside of them
const (
	stackSlots   = 8
	keySlot      = -8 * (stackSlots + 1)
	valueSlot    = keySlot - 8
	ctxSlot      = valueSlot - 8
	ethBytes     = 14 // which programs leave alone
	packetBytes  = 64
	scratchBytes = 128
	regsAt       = scratchBytes
	hashAt       = regsAt + 8*8
	outBytes     = hashAt + 8
	maxSubs      = 2 // functions that are called; after them the callbacks
	loopSub      = maxSubs
	eachSub      = maxSubs + 1

	mapOut     = "out"
	mapArray   = "tab"
	mapHash    = "seen"
	mapPerCPU  = "percpu"
	mapQueue   = "queue"
	mapStack   = "stack"
	mapRingBuf = "events"
)

// GenOptions bound the programs that Generate writes.
type GenOptions struct {
	// Items is the largest number of things that a program does; 0 means 40. A
	// thing is one to a dozen instructions.
	Items int
}

// Generate writes the program number n of a seed: the same for the same numbers, on
// every host. Odd programs are of type XDP, even ones of type tc.
func Generate(seed uint64, n int, o GenOptions) *Case {
	if o.Items == 0 {
		o.Items = 40
	}
	g := newGenerator(seed, n)
	p := &spec.ProgramSpec{Name: "gen", Section: "tc", Type: spec.ProgSchedCls, License: "GPL"}
	if n%2 != 0 {
		p.Section, p.Type = "xdp", spec.ProgXDP
	}
	g.main(p.Type, 1+g.IntN(o.Items))
	p.Funcs = []spec.Func{{Name: p.Name}}
	var subs []int // as loaders append them: in the order of their first calls
	for _, c := range g.calls {
		if !slices.Contains(subs, c.sub) {
			subs = append(subs, c.sub)
		}
	}
	for _, i := range subs {
		p.Funcs = append(p.Funcs, spec.Func{Name: fmt.Sprintf("sub%d", i), PC: isa.PC(g.here())})
		g.sub(i, 1+g.IntN(6))
	}
	p.Insns, p.Refs = g.insns, g.refs
	c := &Case{
		Name: fmt.Sprintf("%d-%d", seed, n),
		Spec: &spec.CollectionSpec{Name: "gen", License: "GPL", Programs: []*spec.ProgramSpec{p}, Maps: []*spec.MapSpec{
			{Name: mapOut, Type: spec.MapArray, KeySize: 4, ValueSize: outBytes, MaxEntries: 1},
			{Name: mapArray, Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 4},
			{Name: mapHash, Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 16},
			{Name: mapPerCPU, Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 4},
			{Name: mapQueue, Type: spec.MapQueue, ValueSize: 8, MaxEntries: 3},
			{Name: mapStack, Type: spec.MapStack, ValueSize: 8, MaxEntries: 3},
			{Name: mapRingBuf, Type: spec.MapRingBuf, MaxEntries: 1 << 16},
		}},
	}
	addTypes(c.Spec)
	c.Script = usedMaps(g.script(p.Section), c.Spec)
	return c
}

func newGenerator(seed uint64, n int) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, uint64(n)))}
}

// script is what happens to the program: map contents and two packets.
func (g *generator) script(hook string) *scenario.Script {
	var text strings.Builder
	text.WriteString(fmt.Sprintf("map %s[0] = bytes(\"%x\")\nmap %s[3] = u64(%d)\n", mapOut, g.bytes(scratchBytes+8*8+8), mapHash, g.value()))
	for range 2 {
		// An Ethernet header with the type for experiments, so that no kernel looks further.
		pkt := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, g.bytes(packetBytes-ethBytes+g.IntN(40))...)
		text.WriteString(fmt.Sprintf("%s hex=\"%s\"\n", hook, hex.EncodeToString(pkt)))
	}
	s, err := scenario.Parse("generated", []byte(text.String()))
	if err != nil {
		panic(fmt.Sprintf("difftest: generated script: %v", err)) // the generator is wrong
	}
	return s
}

// bytes are random, with many edges among them.
func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	for i := 0; i+8 <= n; i += 8 {
		if g.IntN(2) == 0 {
			v := pick(g, edges...)
			for k := range 8 {
				b[i+k] = byte(v >> (8 * k))
			}
		}
	}
	return b
}

// main writes the program itself.
func (g *generator) main(t spec.ProgType, items int) {
	g.scalars = []isa.Register{0, 1, 2, 3, 4, 5, 7, 8}
	g.branches = 10
	dataOff := 0 // xdp_md.data
	if t != spec.ProgXDP {
		dataOff = 76 // __sk_buff.data
	}
	g.emit(
		store(isa.SizeDW, isa.FP, ctxSlot, isa.R1),
		load(isa.SizeW, isa.R6, isa.R1, dataOff),
		load(isa.SizeW, isa.R3, isa.R1, dataOff+4),
		movX(isa.R2, isa.R6), opK(isa.ClassALU64, isa.CodeAdd, isa.R2, packetBytes),
		isa.Instruction{Op: isa.JumpOp(isa.ClassJMP, isa.CodeJle, isa.SrcX), Regs: isa.MakeRegs(isa.R2, isa.R3), Off: 2},
		movK(isa.R0, 0), exit,
		storeK(isa.SizeW, isa.FP, keySlot, 0), storeK(isa.SizeDW, isa.FP, valueSlot, 0),
		movX(isa.R2, isa.FP), opK(isa.ClassALU64, isa.CodeAdd, isa.R2, keySlot),
	)
	g.mapRef(isa.R1, mapOut)
	g.emit(helper(helperLookup),
		isa.Instruction{Op: isa.JumpOp(isa.ClassJMP, isa.CodeJne, isa.SrcK), Regs: isa.MakeRegs(isa.R0, 0), Off: 2},
		movK(isa.R0, 0), exit,
		movX(isa.R9, isa.R0))
	g.numbers()
	for range items {
		g.item(t)
	}
	g.result()
}

// numbers fills the stack slots and the registers: constants, and bytes of the
// packet and the map, which a verifier does not know.
func (g *generator) numbers() {
	for i := range stackSlots {
		off := -8 * (i + 1)
		switch g.IntN(3) {
		case 0:
			g.emit(storeK(isa.SizeDW, isa.FP, off, g.imm()))
		case 1:
			g.wide(isa.R1, g.value())
			g.emit(store(isa.SizeDW, isa.FP, off, isa.R1))
		default:
			g.emit(load(isa.SizeDW, isa.R1, isa.R9, 8*g.IntN(scratchBytes/8)), store(isa.SizeDW, isa.FP, off, isa.R1))
		}
	}
	for _, r := range g.scalars {
		switch g.IntN(4) {
		case 0:
			g.emit(movK(r, g.imm()))
		case 1:
			g.wide(r, g.value())
		case 2:
			g.emit(load(pick(g, sizes...), r, isa.R6, ethBytes+g.IntN(packetBytes-ethBytes-7)))
		default:
			g.emit(load(pick(g, sizes...), r, isa.R9, g.IntN(scratchBytes-7)))
		}
	}
}

// item writes one thing. Afterwards every register and slot has its role again, so
// that a jump may lead to any place between two items.
func (g *generator) item(t spec.ProgType) {
	switch n := g.IntN(44); {
	case n < 17:
		g.alu()
	case n < 19:
		g.rotate()
	case n < 26:
		g.memory()
	case n < 28:
		g.indexed()
	case n < 29:
		g.context(t)
	case n < 31:
		g.mapCall()
	case n < 32:
		g.subCall()
	case n < 34:
		g.wide(g.dst(), g.value())
	case n < 35 && g.loops == 0 && !g.inSub && g.depth == 0:
		g.loop(t)
	case n < 39 && g.branches > 0 && g.depth < 3:
		g.branch(t)
	case n < 40:
		g.emit(movX(g.dst(), g.reg()))
	case n == 40 && g.loops == 0 && g.depth == 0:
		g.callback()
	default:
		g.helperCall(t)
	}
}

var condCodes = []isa.Code{
	isa.CodeJeq, isa.CodeJgt, isa.CodeJge, isa.CodeJset, isa.CodeJne, isa.CodeJsgt, isa.CodeJsge,
	isa.CodeJlt, isa.CodeJle, isa.CodeJslt, isa.CodeJsle,
}

// branch writes a condition with one or two sides.
func (g *generator) branch(t spec.ProgType) {
	g.branches--
	if g.loops > 0 {
		g.branches -= 3
	}
	g.depth++
	defer func() { g.depth-- }()
	class, code := pick(g, isa.ClassJMP, isa.ClassJMP32), pick(g, condCodes...)
	at := g.jump(class, code, g.near(), g.imm())
	if g.IntN(2) == 0 {
		g.insns[at] = isa.Instruction{Op: isa.JumpOp(class, code, isa.SrcX), Regs: isa.MakeRegs(g.near(), g.near())}
	}
	for range g.IntN(4) {
		g.item(t)
	}
	if g.IntN(2) == 0 {
		g.land(at)
		return
	}
	end := g.skip()
	g.land(at)
	for range g.IntN(4) {
		g.item(t)
	}
	g.land(end)
}

// loop writes a loop of a few rounds, counted in R8.
func (g *generator) loop(t spec.ProgType) {
	g.depth++
	g.loops++
	g.emit(movK(isa.R8, int32(1+g.IntN(6))))
	top := g.here()
	for range 1 + g.IntN(5) {
		g.item(t)
	}
	class := pick(g, isa.ClassALU, isa.ClassALU64)
	g.emit(opK(class, isa.CodeAdd, isa.R8, -1))
	at := g.jump(pick(g, isa.ClassJMP, isa.ClassJMP32), pick(g, isa.CodeJne, isa.CodeJsgt), isa.R8, 0)
	setDistance(&g.insns[at], top-at-1)
	g.loops--
	g.depth--
}

// result writes all registers into the map and folds them and the stack into R0.
func (g *generator) result() {
	for i, r := range g.scalars {
		g.emit(store(isa.SizeDW, isa.R9, regsAt+8*i, r))
	}
	mix := func(r isa.Register) {
		g.emit(opK(isa.ClassALU64, isa.CodeMul, isa.R0, 0x01000193), opX(isa.ClassALU64, isa.CodeXor, isa.R0, r))
	}
	for _, r := range g.scalars[1:] {
		mix(r)
	}
	for i := range stackSlots {
		g.emit(load(isa.SizeDW, isa.R1, isa.FP, -8*(i+1)))
		mix(isa.R1)
	}
	g.emit(store(isa.SizeDW, isa.R9, hashAt, isa.R0),
		movX(isa.R1, isa.R0), opK(isa.ClassALU64, isa.CodeRsh, isa.R1, 32), opX(isa.ClassALU64, isa.CodeXor, isa.R0, isa.R1), exit)
}

// sub writes subprogram number i and points the calls at it.
func (g *generator) sub(i, items int) {
	for _, c := range g.calls {
		if c.sub == i {
			g.insns[c.pc].Imm = int32(g.here() - c.pc - 1)
		}
	}
	g.inSub, g.depth, g.branches = true, 1, 2
	g.scalars = []isa.Register{1, 2, 3, 4, 5}
	if g.shared = i >= maxSubs; g.shared {
		g.callbackEntry(i)
		g.branches = 1
	}
	for i := range stackSlots {
		g.emit(store(isa.SizeDW, isa.FP, -8*(i+1), g.reg()))
	}
	g.emit(movX(isa.R0, g.reg()))
	g.scalars = append(g.scalars, isa.R0)
	for range items {
		g.item(spec.ProgType(0))
	}
	if g.shared {
		g.emit(opK(isa.ClassALU64, isa.CodeAnd, isa.R0, 1)) // go on or stop
	}
	g.emit(exit)
}
