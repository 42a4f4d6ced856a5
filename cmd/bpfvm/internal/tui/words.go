package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bpfvm/debug"
	"bpfvm/spec"
)

// Words runs commands on a session.
type Words struct {
	S *debug.Session
	// Prev is the state before the last move, for marks of change; nil at first.
	Prev *debug.State

	displays []string
}

// Reply is the answer to a command.
type Reply struct {
	Lines []string
	// Stop is where a move has led; nil when the command was no move.
	Stop *debug.Stop
	Quit bool
	// Help says that the list of all commands was asked for.
	Help bool
}

// ErrUnknown is the cause when a command is no word of the debugger.
var ErrUnknown = errors.New("unknown command")

// word is one command with its other names.
type word struct {
	names []string
	args  string
	what  string
	run   func(w *Words, ctx context.Context, args string) (Reply, error)
}

// move makes a command of a move; a number repeats it.
func move(fn func(*debug.Session, context.Context) (debug.Stop, error)) func(*Words, context.Context, string) (Reply, error) {
	return func(w *Words, ctx context.Context, args string) (Reply, error) {
		n, err := count(args)
		if err != nil {
			return Reply{}, err
		}
		return w.move(ctx, func() (debug.Stop, error) {
			var stop debug.Stop
			var logs []string
			for range n {
				var err error
				if stop, err = fn(w.S, ctx); err != nil {
					return stop, err
				}
				logs = append(logs, stop.Logs...)
				if stop.Reason != debug.ReasonStep {
					break
				}
			}
			stop.Logs = logs
			return stop, nil
		})
	}
}

// maxRepeat bounds the number of a repeated command.
const maxRepeat = 1_000_000

func count(args string) (int, error) {
	if args == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(args)
	if err != nil || n < 1 || n > maxRepeat {
		return 0, fmt.Errorf("%q: want a number from 1 to %d", args, maxRepeat)
	}
	return n, nil
}

// insns makes a command of a step of some instructions.
func insns(sign int) func(*Words, context.Context, string) (Reply, error) {
	return func(w *Words, ctx context.Context, args string) (Reply, error) {
		n, err := count(args)
		if err != nil {
			return Reply{}, err
		}
		return w.move(ctx, func() (debug.Stop, error) { return w.S.StepInsn(ctx, sign*n) })
	}
}

// table is every command. It is a function because help reads it.
func table() []word {
	type S = debug.Session
	return []word{
		{[]string{"step", "s"}, "[N]", "to the next C line, into functions", move((*S).StepLine)},
		{[]string{"next", "n"}, "[N]", "to the next C line, over functions", move((*S).Next)},
		{[]string{"stepi", "si", "i"}, "[N]", "one instruction", insns(1)},
		{[]string{"nexti", "ni"}, "[N]", "one instruction, over functions", move((*S).NextInsn)},
		{[]string{"finish", "fin", "f", "stepout", "so"}, "", "to the end of the function or program", move((*S).Finish)},
		{[]string{"continue", "c"}, "[N]", "to the next breakpoint or fault", move((*S).Continue)},
		{[]string{"reverse-step", "rs"}, "[N]", "back to the line before, into functions", move((*S).BackLine)},
		{[]string{"reverse-next", "rn"}, "[N]", "back to the line before, over functions", move((*S).BackNext)},
		{[]string{"reverse-stepi", "rsi"}, "[N]", "one instruction back", insns(-1)},
		{[]string{"reverse-nexti", "rni"}, "[N]", "one instruction back, over functions", move((*S).BackNextInsn)},
		{[]string{"reverse-finish", "rf"}, "", "back to the call of the function", move((*S).BackFinish)},
		{[]string{"reverse-continue", "rc"}, "[N]", "back to the breakpoint or fault before", move((*S).BackContinue)},
		{[]string{"rev"}, "COMMAND", "the same command, backwards", (*Words).reverse},
		{[]string{"next-event", "]"}, "[N]", "to the next packet or event", move((*S).NextEvent)},
		{[]string{"prev-event", "["}, "[N]", "to the beginning of this event, or the one before", move((*S).PrevEvent)},
		{[]string{"goto", "g"}, "STEP", "to a step; start and end are steps too", (*Words).gotoStep},
		{[]string{"restart", "rewind", "run", "r"}, "", "to the start", func(w *Words, ctx context.Context, _ string) (Reply, error) { return w.gotoStep(ctx, "0") }},
		{[]string{"break", "b"}, "PLACE [if EXPR] ..", "stop there; help break lists places", (*Words).breakAt},
		{[]string{"tbreak", "tb"}, "PLACE", "stop there once", (*Words).breakOnce},
		{[]string{"watch"}, "PLACE", "stop when it is written: counts[6], fp-8, pkt+12", (*Words).watch},
		{[]string{"delete", "d", "clear"}, "[N]", "remove a breakpoint, or all", (*Words).deleteBreak},
		{[]string{"info", "i?"}, "reg|b|stack|packet|ctx|maps|runs|frame", "show", (*Words).info},
		{[]string{"regs"}, "", "the registers", func(w *Words, ctx context.Context, _ string) (Reply, error) { return w.info(ctx, "reg") }},
		{[]string{"bt", "where", "backtrace"}, "", "the functions that are running", func(w *Words, ctx context.Context, _ string) (Reply, error) { return w.info(ctx, "frame") }},
		{[]string{"print", "p"}, "EXPR", "the value of an expression: r1, counts[6], *(u32 *)(r1 +4)", (*Words).print},
		{[]string{"x"}, "/16xb ADDRESS", "memory: number, x d u c i, b h w g", (*Words).examine},
		{[]string{"display"}, "EXPR", "print it at every stop", (*Words).display},
		{[]string{"undisplay"}, "", "print nothing more", (*Words).undisplay},
		{[]string{"why", "w"}, "r2|fp-8|counts[6]", "which step wrote it last", (*Words).why},
		{[]string{"list", "l"}, "", "C lines around here", (*Words).list},
		{[]string{"disassemble", "disas"}, "", "instructions around here", (*Words).disassemble},
		{[]string{"help", "h", "?"}, "[COMMAND]", "this list", (*Words).help},
		{[]string{"quit", "q", "exit"}, "", "leave", func(*Words, context.Context, string) (Reply, error) { return Reply{Quit: true}, nil }},
	}
}

// find looks a command up: by its name, or by the beginning of exactly one.
func find(name string) (*word, error) {
	words := table()
	var near []*word
	for i := range words {
		if slices.Contains(words[i].names, name) {
			return &words[i], nil
		}
		if len(name) > 1 && strings.HasPrefix(words[i].names[0], name) {
			near = append(near, &words[i])
		}
	}
	if len(near) == 1 {
		return near[0], nil
	}
	if len(near) > 1 {
		var names []string
		for _, n := range near {
			names = append(names, n.names[0])
		}
		return nil, fmt.Errorf("%s: %s?: %w", name, strings.Join(names, ", "), ErrUnknown)
	}
	return nil, fmt.Errorf("%s: %w; help lists all", name, ErrUnknown)
}

// Do runs one command.
func (w *Words) Do(ctx context.Context, line string) (Reply, error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return Reply{}, nil
	}
	name, args, _ := strings.Cut(line, " ")
	if n, format, ok := strings.Cut(name, "/"); ok && (n == "x" || n == "p" || n == "print") {
		name, args = n, "/"+format+" "+args
	}
	c, err := find(name)
	if err != nil {
		return Reply{}, err
	}
	return c.run(w, ctx, strings.TrimSpace(args))
}

// State is the state at the present place.
func (w *Words) State(ctx context.Context) (*debug.State, error) { return w.S.State(ctx) }

// maxRunsTold bounds the runs that a move tells about.
const maxRunsTold = 8

// move makes a move and tells what it passed and where it ended.
func (w *Words) move(ctx context.Context, fn func() (debug.Stop, error)) (Reply, error) {
	before, err := w.S.State(ctx)
	if err != nil {
		return Reply{}, err
	}
	stop, err := fn()
	if err != nil {
		return Reply{}, err
	}
	w.Prev = before
	lines := slices.Clone(stop.Logs)
	if before.Run != nil && stop.Step > before.Step {
		lines = append(lines, w.passed(before.Run.Index, stop)...)
	}
	if r := reasonText(stop); r != "" {
		lines = append(lines, r)
	}
	now, err := w.S.State(ctx)
	if err != nil {
		return Reply{}, err
	}
	lines = append(lines, stateLines(w.S, now)...)
	for _, d := range w.displays {
		lines = append(lines, w.value(d))
	}
	return Reply{Lines: lines, Stop: &stop}, nil
}

// passed tells the runs that ended during a move.
func (w *Words) passed(from int, stop debug.Stop) []string {
	to := len(w.S.Runs())
	if stop.Run != nil {
		to = stop.Run.Index
	}
	var lines []string
	if to-from > maxRunsTold {
		lines = append(lines, fmt.Sprintf("... %d runs", to-from-maxRunsTold))
		from = to - maxRunsTold
	}
	for i := from; i < to; i++ {
		r := &w.S.Runs()[i]
		lines = append(lines, "= "+runText(r))
		for _, t := range r.Result.Trace {
			lines = append(lines, "  trace "+spec.Plain(t))
		}
	}
	return lines
}

func (w *Words) reverse(ctx context.Context, args string) (Reply, error) {
	name, rest, _ := strings.Cut(args, " ")
	c, err := find(name)
	if err != nil {
		return Reply{}, err
	}
	back, err := find("reverse-" + c.names[0])
	if err != nil {
		return Reply{}, fmt.Errorf("rev %s: there is no way back", args)
	}
	return back.run(w, ctx, rest)
}

func (w *Words) gotoStep(ctx context.Context, args string) (Reply, error) {
	var step uint64
	switch args {
	case "start":
	case "end":
		step = w.S.Steps()
	default:
		n, err := strconv.ParseUint(args, 0, 64)
		if err != nil {
			if n, err = w.S.Eval(args); err != nil {
				return Reply{}, fmt.Errorf("goto %s: want a step from 0 to %d", args, w.S.Steps())
			}
		}
		if n > w.S.Steps() {
			return Reply{}, fmt.Errorf("goto %d: the recording has %d steps", n, w.S.Steps())
		}
		step = n
	}
	return w.move(ctx, func() (debug.Stop, error) { return w.S.Goto(ctx, step) })
}

func (w *Words) breakAt(_ context.Context, args string) (Reply, error) {
	b, err := w.S.Break(args)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Lines: []string{fmt.Sprintf("breakpoint %d at %s", b.ID, b.Text)}}, nil
}

func (w *Words) breakOnce(ctx context.Context, args string) (Reply, error) {
	r, err := w.breakAt(ctx, args)
	if err == nil {
		set := w.S.Breakpoints()
		set[len(set)-1].Once = true
		r.Lines[0] += ", once"
	}
	return r, err
}

// watch takes what print takes and breaks on writes of it.
func (w *Words) watch(ctx context.Context, args string) (Reply, error) {
	place := args
	switch name, rest, _ := strings.Cut(args, "["); {
	case strings.HasPrefix(args, "fp"):
		place = "stack:" + strings.TrimSpace(args[2:]) + " write"
	case strings.HasPrefix(args, "r10"):
		place = "stack:" + strings.TrimSpace(args[3:]) + " write"
	case strings.HasPrefix(args, "pkt+"):
		place = "packet:" + args[4:] + " write"
	case name == "pkt":
		place = "packet:" + strings.TrimSuffix(rest, "]") + " write"
	case !strings.Contains(args, ":"):
		place = "map:" + args + " write"
	case !strings.HasSuffix(args, "write") && !strings.HasSuffix(args, "read") && !strings.HasSuffix(args, "access"):
		place = args + " write"
	}
	return w.breakAt(ctx, place)
}

func (w *Words) deleteBreak(_ context.Context, args string) (Reply, error) {
	if args == "" {
		w.S.DeleteAll()
		return Reply{Lines: []string{"no breakpoints"}}, nil
	}
	n, err := strconv.Atoi(args)
	if err != nil || !w.S.Delete(n) {
		return Reply{}, fmt.Errorf("delete %s: no such breakpoint", args)
	}
	return Reply{Lines: []string{fmt.Sprintf("breakpoint %d is gone", n)}}, nil
}

func (w *Words) display(_ context.Context, args string) (Reply, error) {
	if args == "" {
		return Reply{}, errors.New("display: say what")
	}
	w.displays = append(w.displays, args)
	return Reply{Lines: []string{w.value(args)}}, nil
}

func (w *Words) undisplay(context.Context, string) (Reply, error) {
	w.displays = nil
	return Reply{}, nil
}

// value is "EXPR = VALUE", or why there is none.
func (w *Words) value(expr string) string {
	v, err := w.S.Eval(expr)
	if err != nil {
		return expr + ": " + err.Error()
	}
	text := expr + " = " + numberText(v)
	if name := w.S.Symbolize(v); name != fmt.Sprintf("%#x", v) {
		return text + "  " + spec.Plain(name)
	}
	if v > 9 && !strings.HasPrefix(numberText(v), "0x") {
		text += fmt.Sprintf("  %#x", v)
	}
	return text
}

func (w *Words) print(_ context.Context, args string) (Reply, error) {
	if strings.HasPrefix(args, "/") {
		_, args, _ = strings.Cut(args, " ")
	}
	if _, err := w.S.Eval(args); err != nil {
		return Reply{}, fmt.Errorf("print %s: %w", args, err)
	}
	return Reply{Lines: []string{w.value(args)}}, nil
}

func (w *Words) why(ctx context.Context, args string) (Reply, error) {
	y, err := w.S.Why(ctx, args)
	if err != nil {
		return Reply{}, err
	}
	lines := []string{fmt.Sprintf("%s = %s, written by step %d in event %d:", y.What, spec.Plain(y.Now), y.Step, y.Run.Number)}
	at := fmt.Sprintf("%5d: %s", y.PC, y.Insn)
	if l := lineText(y.Line); l != "" {
		at += "    " + l
	}
	lines = append(lines, at)
	if len(y.From) > 0 {
		var from []string
		for _, r := range y.From {
			from = append(from, r.String())
		}
		lines = append(lines, fmt.Sprintf("it read %s: goto %d, then why %s", strings.Join(from, ", "), y.Step, from[0]))
	} else {
		lines = append(lines, fmt.Sprintf("goto %d shows that step", y.Step))
	}
	return Reply{Lines: lines}, nil
}
