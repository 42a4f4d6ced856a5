package tui

import (
	"context"
	"fmt"
	"path"
	"strings"

	"bpfvm/debug"
	"bpfvm/isa"
	"bpfvm/spec"
)

// role says what a line is, for colour; the line's own marks say it too.
type role uint8

const (
	rolePlain   role = iota
	roleHere         // where the program is
	roleChanged      // it changed
	roleFault        // it goes wrong
	roleDim          // may be skipped
	roleFound        // what a search found
)

// line is one line of a pane.
type line struct {
	text string
	role role
}

// pane is what one pane shows; at is the line to keep in sight, -1 for none.
type pane struct {
	title string
	lines []line
	at    int
}

// The panes at the lower right.
const (
	dataStack = iota
	dataPacket
	dataCtx
	dataMaps
	numData
)

var dataNames = [numData]string{"stack", "packet", "ctx", "maps"}

// scene is everything that the screen shows of the session, prepared, so that
// drawing needs neither the session nor time.
type scene struct {
	st     *debug.State
	c      pane
	insns  pane
	pcs    []isa.PC // of insns.lines
	regs   pane
	data   [numData]pane
	marks  string // why the marks are missing, empty when they are there
	spans  debug.Marks
	run    *debug.Run
	events int
	steps  uint64
	runs   int
}

// view is what the user chose to see.
type view struct {
	packetWidth int // bytes in a row
	object      bool
	look        isa.PC // found by a search; -1: none
}

// maxMarks is the longest run whose marks are looked for after each move.
const maxMarks = 200_000

// scene prepares the present place.
func (w *Words) scene(ctx context.Context, v view) (*scene, error) {
	st, err := w.S.State(ctx)
	if err != nil {
		return nil, err
	}
	sc := &scene{st: st, run: st.Run, steps: w.S.Steps(), runs: len(w.S.Runs())}
	sc.events = w.S.Runs()[sc.runs-1].Number
	sc.source(w, v)
	sc.code(w, v)
	sc.regs = registersPane(w, st)
	sc.data[dataStack] = pane{title: stackTitle(st), lines: marked(stackLines(w.S, st, w.Prev)), at: -1}
	sc.data[dataPacket] = pane{title: "packet", lines: marked(packetRows(w.S, st, v.packetWidth)), at: -1}
	if lo, hi := accessPacket(w.S, st); lo < hi {
		sc.data[dataPacket].at = 1 + lo/v.packetWidth
	}
	sc.data[dataCtx] = pane{title: "context", lines: marked(ctxLines(w.S, st)), at: -1}
	sc.data[dataMaps] = pane{title: "maps", lines: marked(w.mapLines(st, "")), at: -1}
	if sc.run != nil && sc.run.Steps <= maxMarks {
		if sc.spans, err = w.S.Marks(ctx, sc.run); err != nil {
			return nil, err
		}
	} else if sc.run != nil {
		sc.marks = "long run, no marks"
	}
	return sc, nil
}

func accessPacket(s *debug.Session, st *debug.State) (lo, hi int) {
	if st.Packet == nil {
		return 0, 0
	}
	return accessIn(s, st.Packet.Addr, uint64(len(st.Packet.Bytes)))
}

// marked gives lines the role of their mark.
func marked(texts []string) []line {
	out := make([]line, len(texts))
	for i, t := range texts {
		out[i].text = t
		if strings.HasPrefix(t, "*") {
			out[i].role = roleChanged
		}
	}
	return out
}

func stackTitle(st *debug.State) string {
	if st.Run == nil {
		return "stack"
	}
	if st.Frame == 0 {
		return "stack  from r10 down"
	}
	return fmt.Sprintf("stack  frame %d, from r10 down", st.Frame)
}

// source prepares the C pane.
func (sc *scene) source(w *Words, v view) {
	sc.c = pane{title: "C", at: -1}
	code := w.S.Code()
	here := sc.st.Line
	if v.look >= 0 && code != nil {
		here = w.S.LineOf(code, v.look)
	}
	switch {
	case code == nil:
		sc.c.lines = []line{{"no program runs here", roleDim}}
		return
	case here == nil:
		if code.Spec == nil || len(code.Spec.Lines) == 0 {
			sc.c.lines = []line{{"no line information:", roleDim}, {"compile with clang -g", roleDim}}
			return
		}
		here = &code.Spec.Lines[0]
	}
	sc.c.title = "C  " + spec.Plain(path.Base(here.File))
	if len(sc.st.Frames) > 1 {
		var names []string
		for _, f := range sc.st.Frames {
			names = append(names, spec.Plain(f.Func))
		}
		sc.c.title += "  " + strings.Join(names, " < ")
	}
	last := 0
	for _, l := range sourceLines(code, here.File) {
		if last != 0 && l.Line > last+1 {
			sc.c.lines = append(sc.c.lines, line{"      .", roleDim})
		}
		last = l.Line
		now := sc.st.Line != nil && l.Line == sc.st.Line.Line && l.File == sc.st.Line.File
		stop := len(w.S.BreakAtLine(l.File, l.Line)) > 0
		one := line{text: fmt.Sprintf("%s%s%4d %s", mark(now, ">"), mark(stop, "b"), l.Line, indented(l))}
		if now {
			one.role = roleHere
		}
		if l.Line == here.Line {
			sc.c.at = len(sc.c.lines)
		}
		sc.c.lines = append(sc.c.lines, one)
	}
}

// indented is a source line with narrow indentation.
func indented(l *spec.Line) string {
	text := strings.TrimRight(strings.ReplaceAll(l.Text, "\t", "  "), " ")
	return spec.Plain(text)
}

// code prepares the eBPF pane.
func (sc *scene) code(w *Words, v view) {
	sc.insns = pane{title: "eBPF", at: -1}
	code := w.S.Code()
	if code == nil {
		sc.insns.title = "runs"
		for _, l := range w.passed(0, debug.Stop{}) {
			sc.insns.lines = append(sc.insns.lines, line{text: strings.TrimPrefix(l, "= ")})
		}
		sc.insns.at = len(sc.insns.lines) - 1
		return
	}
	sc.insns.title = "eBPF  " + spec.Plain(sc.st.Func)
	if v.object {
		sc.insns.title += "  (object)"
	}
	last := ""
	for pc := range code.Insns.All() {
		if f := code.FuncAt(pc); f != nil && f.PC == pc && f.Name != last && len(code.Funcs) > 1 {
			last = f.Name
			sc.insns.lines = append(sc.insns.lines, line{spec.Plain(f.Name) + ":", roleDim})
			sc.pcs = append(sc.pcs, pc)
		}
		now := pc == sc.st.PC
		text := debug.Insn(code, pc)
		if v.object && code.Spec != nil && int(pc) < len(code.Spec.Insns) {
			text = (&isa.Printer{Opcodes: true}).Insn(code.Spec.Insns, pc)
		}
		one := line{text: fmt.Sprintf("%s%s%4d %s", mark(now, ">"), mark(len(w.S.BreakAt(code.Name, pc)) > 0, "b"), pc, text)}
		switch {
		case now && sc.st.Fault != nil:
			one.text = "!" + one.text[1:]
			one.role = roleFault
		case now:
			one.role = roleHere
		case pc == v.look:
			one.text = "/" + one.text[1:]
			one.role = roleFound
		}
		if now && v.look < 0 || pc == v.look {
			sc.insns.at = len(sc.insns.lines)
		}
		sc.insns.lines = append(sc.insns.lines, one)
		sc.pcs = append(sc.pcs, pc)
		if now {
			if n := noteLine(sc.st); n != "" {
				r := roleDim
				if sc.st.Fault != nil {
					r = roleFault
				}
				sc.insns.lines = append(sc.insns.lines, line{"       " + n, r})
				sc.pcs = append(sc.pcs, pc)
			}
		}
	}
}

// noteLine says below the instruction what it is about to do.
func noteLine(st *debug.State) string {
	switch {
	case st.Fault != nil:
		return "! " + spec.Plain(st.Fault.Msg)
	case st.Note != "":
		return "; " + spec.Plain(st.Note)
	}
	return ""
}

func registersPane(w *Words, st *debug.State) pane {
	p := pane{title: "registers", at: -1}
	if st.Run == nil {
		p.lines = []line{{"no program runs here", roleDim}}
		return p
	}
	changed := changedRegs(w.Prev, st)
	for i, r := range st.Regs {
		l := line{text: fmt.Sprintf("%s%-3s %s", mark(changed[i], "*"), isa.Register(i), regText(r))}
		switch {
		case changed[i]:
			l.role = roleChanged
		case !r.Init:
			l.role = roleDim
		}
		p.lines = append(p.lines, l)
	}
	return p
}
