package tui

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bpfvm/debug"
	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/vm"
)

// info shows one aspect of the present place.
func (w *Words) info(ctx context.Context, args string) (Reply, error) {
	what, rest, _ := strings.Cut(args, " ")
	switch what {
	case "b", "break", "breakpoints", "watchpoints":
		return Reply{Lines: w.breakLines()}, nil
	case "runs", "events":
		return Reply{Lines: w.runLines()}, nil
	}
	st, err := w.S.State(ctx)
	if err != nil {
		return Reply{}, err
	}
	var lines []string
	switch what {
	case "maps", "map":
		lines = w.mapLines(st, rest)
	case "reg", "regs", "registers", "r":
		lines = w.regLines(st)
	case "stack":
		lines = stackLines(w.S, st, w.Prev)
	case "packet", "pkt":
		lines = packetLines(st, 16)
	case "ctx", "context":
		lines = ctxLines(w.S, st)
	case "frame", "stack-frames", "f":
		lines = frameLines(st)
	case "":
		lines = stateLines(w.S, st)
	default:
		return Reply{}, fmt.Errorf("info %s: want reg, b, stack, packet, ctx, maps, runs or frame", args)
	}
	return Reply{Lines: lines}, nil
}

func (w *Words) breakLines() []string {
	if len(w.S.Breakpoints()) == 0 {
		return []string{"no breakpoints"}
	}
	var lines []string
	for _, b := range w.S.Breakpoints() {
		lines = append(lines, fmt.Sprintf("%3d  %s", b.ID, b.Text))
	}
	return lines
}

func (w *Words) runLines() []string {
	var lines []string
	for i := range w.S.Runs() {
		r := &w.S.Runs()[i]
		here := w.S.Run() == r
		lines = append(lines, fmt.Sprintf("%s %6d..%-6d %s", mark(here, ">"), r.First, r.End()-1, runText(r)))
	}
	return lines
}

func (w *Words) regLines(st *debug.State) []string {
	if st.Run == nil {
		return []string{"no program runs here"}
	}
	changed := changedRegs(w.Prev, st)
	var lines []string
	for i, r := range st.Regs {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%s r%-2d  %-18s %s", mark(changed[i], "*"), i, hexReg(r), regText(r)), " "))
	}
	return lines
}

func hexReg(r debug.Reg) string {
	if !r.Init {
		return "-"
	}
	return fmt.Sprintf("%#x", r.Value)
}

func frameLines(st *debug.State) []string {
	if st.Run == nil {
		return []string{"no program runs here"}
	}
	var lines []string
	for i, f := range st.Frames {
		s := fmt.Sprintf("%s %d  %s  slot %d", mark(i == 0, ">"), len(st.Frames)-1-i, spec.Plain(f.Func), f.PC)
		if l := lineText(f.Line); l != "" {
			s += "  " + l
		}
		lines = append(lines, s)
	}
	return lines
}

// stackLines shows the frame in rows of 8 bytes from the frame pointer downwards, as
// far down as something was written.
func stackLines(s *debug.Session, st, prev *debug.State) []string {
	if st.Run == nil {
		return []string{"no program runs here"}
	}
	lo, hi := accessIn(s, st.Stack.Top-vm.StackSize, vm.StackSize)
	lowest := slices.Index(st.Stack.Written, true)
	if lowest < 0 {
		lowest = vm.StackSize
	}
	if lo < hi {
		lowest = min(lowest, lo)
	}
	var lines []string
	for row := vm.StackSize - 8; row >= 0 && row+8 > lowest; row -= 8 {
		b, known := st.Stack.Bytes[row:row+8], st.Stack.Written[row:row+8]
		changed := prev != nil && prev.Run == st.Run && prev.Frame == st.Frame && prev.Stack.Bytes != nil &&
			(!bytes.Equal(prev.Stack.Bytes[row:row+8], b) || !slices.Equal(prev.Stack.Written[row:row+8], known))
		line := fmt.Sprintf("%s%-5s%s", mark(changed, "*"), fmt.Sprintf("-%d", vm.StackSize-row), hexRow(b, known, 8, max(lo-row, 0), min(hi-row, 8)))
		if !slices.Contains(known, false) {
			line += " " + wordText(s, b)
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	if lines == nil {
		return []string{"nothing written yet"}
	}
	return lines
}

// wordText names what 8 bytes hold: an address, or a number.
func wordText(s *debug.Session, b []byte) string {
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	if name := s.Symbolize(v); name != fmt.Sprintf("%#x", v) {
		return spec.Plain(name)
	}
	return numberText(v)
}

// accessIn returns which bytes of a piece of memory the next instruction touches.
func accessIn(s *debug.Session, base, size uint64) (lo, hi int) {
	addr, n, ok := s.Access()
	if !ok || addr >= base+size || addr+n <= base {
		return 0, 0
	}
	return int(max(addr, base) - base), int(min(addr+n, base+size) - base)
}

// packetLines shows a packet in rows of width bytes; changed rows have a mark.
func packetLines(st *debug.State, width int) []string {
	return packetRows(nil, st, width)
}

func packetRows(s *debug.Session, st *debug.State, width int) []string {
	if st.Packet == nil {
		return []string{"there is no packet"}
	}
	p := st.Packet
	first := "eth"
	if st.Run != nil && st.Run.Result.Packet != nil && st.Run.Result.Packet.Link == scenario.LinkRaw {
		first = "ip"
	}
	lines := []string{spec.Plain(scenario.DecodePacketAs(first, p.Bytes).Summary())}
	lo, hi := 0, 0
	if s != nil {
		lo, hi = accessIn(s, p.Addr, uint64(len(p.Bytes)))
	}
	for off := 0; off < len(p.Bytes); off += width {
		row := p.Bytes[off:min(off+width, len(p.Bytes))]
		before := p.Before[min(off, len(p.Before)):min(off+width, len(p.Before))]
		changed := p.Before != nil && !bytes.Equal(row, before)
		lines = append(lines, fmt.Sprintf("%s%04x%s %s", mark(changed, "*"), off, hexRow(row, nil, width, max(lo-off, 0), min(hi-off, width)), asciiText(row)))
	}
	return lines
}

// ctxLines shows the context field by field, or in bytes.
func ctxLines(s *debug.Session, st *debug.State) []string {
	code := s.Code()
	if st.Run == nil || code == nil || st.Ctx == nil {
		return []string{"there is no context"}
	}
	var lines []string
	if code.Ctx != nil {
		for _, f := range code.Ctx.Fields {
			if uint64(f.Off)+uint64(f.Size) > uint64(len(st.Ctx)) || f.Size == 0 {
				continue
			}
			b := st.Ctx[f.Off : f.Off+f.Size]
			text := fmt.Sprintf("%x", b)
			if len(b) <= 8 {
				text = wordText(s, append(bytes.Clone(b), make([]byte, 8-len(b))...))
			}
			lines = append(lines, fmt.Sprintf("%4d %-16s %s", f.Off, spec.Plain(f.Name), text))
		}
		return lines
	}
	for off := 0; off < len(st.Ctx); off += 16 {
		row := st.Ctx[off:min(off+16, len(st.Ctx))]
		lines = append(lines, fmt.Sprintf("%04x%s %s", off, hexRow(row, nil, 16, 0, 0), asciiText(row)))
	}
	return lines
}

// maxElems bounds the elements that are shown of one map.
const maxElems = 64

// mapLines shows what changed in this run, then what the maps hold.
func (w *Words) mapLines(st *debug.State, only string) []string {
	var lines []string
	for i := range st.Maps {
		if c := &st.Maps[i]; only == "" || c.Map == only {
			lines = append(lines, "* "+spec.Plain(c.String()))
		}
	}
	if lines == nil && only == "" {
		lines = append(lines, "no changes in this run")
	}
	for i := range w.S.Maps() {
		m := &w.S.Maps()[i]
		if only != "" && m.Spec.Name != only {
			continue
		}
		unit := "elements"
		if len(m.Elems) == 1 {
			unit = "element"
		}
		lines = append(lines, fmt.Sprintf("%s  %s, %d %s", spec.Plain(m.Spec.Name), m.Spec.Type, len(m.Elems), unit))
		elems, err := m.JSON()
		if err != nil {
			continue
		}
		for j, e := range elems {
			if j == maxElems {
				lines = append(lines, fmt.Sprintf("  ... %d more", len(elems)-j))
				break
			}
			lines = append(lines, spec.Plain(fmt.Sprintf("  %s: %s", e.Key, e.Value)))
		}
	}
	return lines
}

// list shows the C lines around here that have code.
func (w *Words) list(context.Context, string) (Reply, error) {
	here := w.S.Here()
	if here.Line == nil {
		return Reply{}, fmt.Errorf("list: no line is known here")
	}
	lines := sourceLines(w.S.Code(), here.Line.File)
	at := slices.IndexFunc(lines, func(l *spec.Line) bool { return l.Line == here.Line.Line })
	var out []string
	for i := max(at-5, 0); i < min(at+6, len(lines)); i++ {
		l := lines[i]
		out = append(out, fmt.Sprintf("%s%s%4d  %s", mark(i == at, ">"), mark(len(w.S.BreakAtLine(l.File, l.Line)) > 0, "b"), l.Line, strings.TrimRight(spec.Plain(l.Text), " ")))
	}
	return Reply{Lines: out}, nil
}

// sourceLines are the lines of a file that code belongs to, in order. Objects carry
// the text of these lines only.
func sourceLines(code *vm.Code, file string) []*spec.Line {
	if code == nil || code.Spec == nil {
		return nil
	}
	byLine := map[int]*spec.Line{}
	for i := range code.Spec.Lines {
		l := &code.Spec.Lines[i]
		if l.File == file && l.Line > 0 && byLine[l.Line] == nil {
			byLine[l.Line] = l
		}
	}
	var out []*spec.Line
	for _, l := range byLine {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *spec.Line) int { return a.Line - b.Line })
	return out
}

// disassemble shows the instructions around here.
func (w *Words) disassemble(context.Context, string) (Reply, error) {
	code := w.S.Code()
	if code == nil {
		return Reply{}, fmt.Errorf("disassemble: no program runs here")
	}
	here := w.S.Here()
	var pcs []isa.PC
	at := 0
	for pc := range code.Insns.All() {
		if pc == here.PC {
			at = len(pcs)
		}
		pcs = append(pcs, pc)
	}
	var lines []string
	for i := max(at-5, 0); i < min(at+11, len(pcs)); i++ {
		pc := pcs[i]
		lines = append(lines, fmt.Sprintf("%s%s%4d: %s", mark(i == at, ">"), mark(len(w.S.BreakAt(code.Name, pc)) > 0, "b"), pc, debug.Insn(code, pc)))
	}
	return Reply{Lines: lines}, nil
}

// examine is x/NFU ADDRESS.
func (w *Words) examine(ctx context.Context, args string) (Reply, error) {
	n, format, unit := 8, byte('x'), 1
	rest := args
	if strings.HasPrefix(args, "/") {
		var f string
		f, rest, _ = strings.Cut(args[1:], " ")
		digits := strings.TrimRight(f, "abcdefghijklmnopqrstuvwxyz")
		if digits != "" {
			var err error
			if n, err = strconv.Atoi(digits); err != nil || n < 1 || n > 4096 {
				return Reply{}, fmt.Errorf("x/%s: want a number from 1 to 4096", f)
			}
		} else {
			n = 1
		}
		for _, c := range f[len(digits):] {
			switch c {
			case 'b':
				unit = 1
			case 'h':
				unit = 2
			case 'w':
				unit = 4
			case 'g':
				unit = 8
			case 'x', 'd', 'u', 'c', 'i', 's':
				format = byte(c)
			default:
				return Reply{}, fmt.Errorf("x/%s: want a number and letters of x d u c s i, b h w g", f)
			}
		}
	}
	rest = strings.TrimSpace(rest)
	if format == 'i' {
		return w.disassemble(ctx, "")
	}
	if rest == "" {
		return Reply{}, fmt.Errorf("x: want an address: fp-16, r1, pkt, data")
	}
	addr, err := w.S.Eval(strings.Replace(rest, "pkt", "data", 1))
	if err != nil {
		return Reply{}, fmt.Errorf("x %s: %w", rest, err)
	}
	b, ok := w.S.Bytes(addr, n*unit)
	if !ok {
		return Reply{}, fmt.Errorf("x %s: no %d bytes at %s", rest, n*unit, spec.Plain(w.S.Symbolize(addr)))
	}
	if format == 's' {
		text, _, _ := bytes.Cut(b, []byte{0})
		return Reply{Lines: []string{fmt.Sprintf("%s: %q", spec.Plain(w.S.Symbolize(addr)), text)}}, nil
	}
	perRow := max(8/unit, 2)
	if unit == 1 {
		perRow = 16
	}
	var lines []string
	for i := 0; i < n; i += perRow {
		var line strings.Builder
		line.WriteString(spec.Plain(w.S.Symbolize(addr+uint64(i*unit))) + ":")
		for j := i; j < min(i+perRow, n); j++ {
			line.WriteString(" " + unitText(b[j*unit:(j+1)*unit], format))
		}
		lines = append(lines, line.String())
	}
	return Reply{Lines: lines}, nil
}

func unitText(b []byte, format byte) string {
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	switch format {
	case 'd':
		shift := 64 - 8*len(b)
		return fmt.Sprint(int64(v<<shift) >> shift)
	case 'u':
		return fmt.Sprint(v)
	case 'c':
		return asciiText(b)
	}
	return fmt.Sprintf("%0*x", 2*len(b), v)
}

// help lists commands, or explains one.
func (w *Words) help(_ context.Context, args string) (Reply, error) {
	if args == "break" || args == "b" || args == "watch" {
		return Reply{Lines: strings.Split(strings.TrimSpace(breakHelp), "\n")}, nil
	}
	var lines []string
	for _, c := range table() {
		if args != "" && !slices.Contains(c.names, args) {
			continue
		}
		name := c.names[0]
		if len(c.names) > 1 {
			name += " " + c.names[1]
		}
		lines = append(lines, fmt.Sprintf("%-24s %s", strings.TrimSpace(name+" "+shortArgs(c.args)), c.what))
	}
	if lines == nil {
		return Reply{}, fmt.Errorf("help %s: %w", args, ErrUnknown)
	}
	return Reply{Lines: lines, Help: true}, nil
}

func shortArgs(args string) string {
	if len(args) > 14 {
		return ".."
	}
	return args
}

const breakHelp = `
*5  PROG:*5          slot 5
drop.c:11  11        C line
FUNCTION             its first instruction
helper:NAME          calls of a helper: helper:map_update_elem
ret                  the end of a program
event:3              the beginning of an event
branch:4 taken       or not taken
map:counts[6] write  an element; map:counts write is any
stack:-8 write       8 bytes at r10-8; /4 for 4; read, access
packet:12 write      a byte of the packet; /2 for 2
ctx:16 read          bytes of the context
... if EXPR          r0 == 1 && counts[6] > 3
... hit%10 hit==3    of the times it was met since the start
... once             and then no more
... log "x {r1}"     print instead of stopping`
