package debug_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"bpfvm/debug"
	"bpfvm/trace"

	"github.com/google/go-cmp/cmp"
)

func nested(t testing.TB) *debug.Session {
	return open(t, trace.Inputs{Name: "calling.o", Object: assemble(t, calling), Ctx: []byte{}})
}

// do makes a list of moves and tells where they lead: "slot@frame", or the reason.
func do(t *testing.T, s *debug.Session, moves string) string {
	t.Helper()
	ctx := context.Background()
	table := map[string]func(context.Context) (debug.Stop, error){
		"s": s.StepLine, "S": s.BackLine, "n": s.Next, "N": s.BackNext, "f": s.Finish, "F": s.BackFinish,
		"c": s.Continue, "C": s.BackContinue, "ni": s.NextInsn, "NI": s.BackNextInsn, "]": s.NextEvent, "[": s.PrevEvent,
		"i": func(ctx context.Context) (debug.Stop, error) { return s.StepInsn(ctx, 1) },
		"I": func(ctx context.Context) (debug.Stop, error) { return s.StepInsn(ctx, -1) },
	}
	var out []string
	for m := range strings.FieldsSeq(moves) {
		stop, err := table[m](ctx)
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		at := fmt.Sprintf("%d@%d", stop.PC, stop.Frame)
		if stop.Reason != debug.ReasonStep {
			at = string(stop.Reason) + ":" + at
		}
		out = append(out, at)
	}
	return strings.Join(out, " ")
}

// The program calls outer at slot 2, outer calls inner; bpf_loop is a step. Without
// line information each instruction is a line.
func TestMoves(t *testing.T) {
	s := nested(t)
	ctx := context.Background()
	funcs := s.Trace().Collection().Programs[0].Funcs
	pc := map[string]int{}
	for _, f := range funcs {
		pc[f.Name] = int(f.PC)
	}
	o, i := pc["outer"], pc["inner"]
	tests := []struct{ from, moves, want string }{
		{"0", "i i i", fmt.Sprintf("1@0 2@0 %d@1", o)},
		{"0", "i i n", "1@0 2@0 3@0"},
		{"0", "i i ni NI", "1@0 2@0 3@0 2@0"},
		{"0", "i i i i i i", fmt.Sprintf("1@0 2@0 %d@1 %d@1 %d@1 %d@2", o, o+1, o+2, i)},
		{"6", "f f", fmt.Sprintf("%d@1 3@0", o+3)},
		{"6", "F F F", fmt.Sprintf("%d@1 2@0 0@0", o+2)},
		{"12", "N I", "2@0 1@0"},
		{"12", "I I", fmt.Sprintf("%d@1 %d@1", o+5, o+4)},
		{"0", "I C S N F [", "start:0@0 start:0@0 start:0@0 start:0@0 start:0@0 start:0@0"},
		{"0", "c c ] f", "end:0@0 end:0@0 end:0@0 end:0@0"},
	}
	for _, tt := range tests {
		t.Run(tt.from+" "+tt.moves, func(t *testing.T) {
			var n uint64
			fmt.Sscan(tt.from, &n)
			if _, err := s.Goto(ctx, n); err != nil {
				t.Fatal(err)
			}
			if got := do(t, s, tt.moves); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A fault stops both ways, before it happens.
func TestFault(t *testing.T) {
	s := short(t)
	if got := do(t, s, "c"); got != "fault:5@0" {
		t.Fatal(got)
	}
	here := s.Here()
	if here.Fault == nil || !strings.Contains(here.Fault.Msg, "2 bytes past data_end") {
		t.Errorf("fault %v", here.Fault)
	}
	st := mustState(t, s)
	if st.Regs[2].Text != "pkt" || st.Regs[3].Text != "pkt_end" || !strings.Contains(st.Note, "past data_end") {
		t.Errorf("r2 %q, r3 %q, note %q", st.Regs[2].Text, st.Regs[3].Text, st.Note)
	}
	if got := do(t, s, "c C [ ]"); got != "end:0@0 fault:5@0 0@0 0@0" {
		t.Error(got)
	}
	if n := len(s.Runs()); n != 3 {
		t.Errorf("%d runs", n)
	}
}

// Breakpoints stop at these steps; backwards at the same.
func TestBreakpoints(t *testing.T) {
	tests := []struct {
		name  string
		open  func(testing.TB) *debug.Session
		where string
		want  []uint64
		what  string // of the first stop
	}{
		{"slot", nested, "*3", []uint64{12}, ""},
		{"slot of a program", nested, "main:*3", []uint64{12}, ""},
		{"function", nested, "inner", []uint64{6}, ""},
		{"helper", nested, "helper:loop", []uint64{18}, ""},
		{"ret", nested, "ret", []uint64{41}, "r0 = 21"},
		{"ret if", nested, "ret if r0 == 20", nil, ""},
		{"branch", nested, "branch:30 not taken", []uint64{37}, ""},
		{"branch taken", nested, "branch:30 taken", nil, ""},
		{"stack", nested, "stack:-8 write", []uint64{5, 13, 19}, ""},
		{"condition", nested, "stack:-8 write if r0 == 18", []uint64{13}, ""},
		{"part of the stack", nested, "stack:-20/2 write", []uint64{20, 32}, ""},
		{"stack read", nested, "stack:-40 read", []uint64{31}, ""},
		{"any element", nested, "map:counts write", []uint64{39, 40}, ""},
		{"element", nested, "map:counts[6] write", []uint64{39, 40}, "0 -> 21"},
		{"other element", nested, "map:counts[5] write", nil, ""},
		{"hash", nested, `map:names["name"] write`, []uint64{31}, ""},
		{"hash, any", nested, "map:names write", []uint64{31}, ""},
		{"count", kmem, "helper:map_update_elem hit%5", nil, ""},
		{"event", kmem, "event:3", []uint64{52}, ""},
		{"packet", short, "packet:14/2 read", []uint64{6, 20}, ""},
		{"ctx", short, "ctx:4 read", []uint64{2, 10, 16}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			s := tt.open(t)
			if _, err := s.Break(tt.where); err != nil {
				t.Fatal(err)
			}
			var forth, back []uint64
			what := ""
			for {
				stop, err := s.Continue(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if stop.Reason == debug.ReasonEnd {
					break
				}
				if stop.Reason == debug.ReasonBreakpoint {
					if forth = append(forth, stop.Step); len(forth) == 1 {
						what = stop.What
					}
				}
			}
			for {
				stop, err := s.BackContinue(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if stop.Reason == debug.ReasonStart {
					break
				}
				if stop.Reason == debug.ReasonBreakpoint {
					back = append([]uint64{stop.Step}, back...)
				}
			}
			if diff := cmp.Diff(forth, back); diff != "" {
				t.Errorf("forwards and backwards: %s", diff)
			}
			if tt.name == "count" {
				if len(forth) != 4 { // 20 allocations
					t.Errorf("every fifth of 20: %v", forth)
				}
				return
			}
			if diff := cmp.Diff(tt.want, forth); diff != "" {
				t.Error(diff)
			}
			if tt.what != "" && what != tt.what {
				t.Errorf("saw %q, want %q", what, tt.what)
			}
		})
	}
}

func TestBreakpointErrors(t *testing.T) {
	s := nested(t)
	for _, tt := range []struct{ text, want string }{
		{"", "say where"}, {"*99", "the program has"}, {"*x", "want the number of a slot"}, {"other:*1", "no program other"},
		{"main:*11", ""}, {"nowhere", "no function nowhere"}, {"x.c:5", "no line information"}, {"helper:fly", "no helper is called fly"},
		{"map:counts[9999999999] write", "does not fit a key"}, {"map:lost", "no map lost"}, {"map:counts[", "no closing bracket"},
		{"stack:x", "want an offset"}, {"stack:-8 eat", "want read, write or access"}, {"stack:-8/0 write", "want a size"},
		{"branch:3", "want taken or not taken"}, {"event:0", "want a number from 1"}, {"*1 hit%0", "want a number from 1"},
		{"*1 if r0 ==", "something is missing"}, {"*1 if r0 @ 1", "not understood"}, {"*1 if r77 == 1", "not a name here"},
		{"*1 log hello", "double quotes"}, {`*1 log "{r1"`, "no closing brace"}, {"x86:0x23", "unsupported"},
		{"*1 if " + strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100), "nested too deeply"},
	} {
		_, err := s.Break(tt.text)
		if tt.want == "" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("break %q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestOnceAndLog(t *testing.T) {
	s := nested(t)
	s.Break("stack:-8 write once")
	s.Break(`inner log "r1 is {r1}, {zz}"`)
	if len(s.Breakpoints()) != 1 {
		t.Error("a log of an unknown name was taken")
	}
	s.Break(`inner log "r1 is {r1}"`)
	ctx := context.Background()
	s.Continue(ctx)
	if len(s.Breakpoints()) != 1 {
		t.Error("once was met and is still there")
	}
	stop, _ := s.Continue(ctx)
	if stop.Reason != debug.ReasonEnd || len(stop.Logs) != 1 || stop.Logs[0] != "step 6: r1 is 6" {
		t.Errorf("%s %q", stop.Reason, stop.Logs)
	}
	if stop, _ = s.BackContinue(ctx); len(stop.Logs) != 1 {
		t.Errorf("backwards %q", stop.Logs)
	}
}

// why names the step that wrote it, and nothing else did between.
func TestWhy(t *testing.T) {
	ctx := context.Background()
	s := nested(t)
	for _, tt := range []struct {
		at   uint64
		what string
		want uint64
		err  string
	}{
		{2, "r1", 1, ""}, {2, "r6", 0, ""}, {2, "r2", 0, "nothing has written it"}, {0, "r1", 0, "the context since its start"},
		{6, "r1", 3, ""}, // inner got it from outer, which added 1
		{6, "r6", 0, "nothing has written it in this function"},
		{12, "r0", 10, ""}, // what outer returned
		{12, "r1", 11, ""}, // lost when outer returned
		{12, "r6", 0, ""},
		{13, "fp-8", 12, ""}, {19, "fp-8", 18, ""}, // the callback of bpf_loop
		{42, "counts[6]", 39, ""}, {41, "stack:-24", 31, ""}, {41, `names["name"]`, 30, ""}, {2, "counts[6]", 0, "nothing has written it"},
		{41, "r10", 0, "frame pointer"}, {41, "pkt+0", 0, "no packet"}, {41, "*(u64 *)(r10 -8)", 18, ""},
		{41, "*(u64 *)(0)", 0, "not memory of the program"}, {42, "r0", 0, "no program runs here"},
	} {
		if _, err := s.Goto(ctx, tt.at); err != nil {
			t.Fatal(err)
		}
		y, err := s.Why(ctx, tt.what)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("step %d why %s: %v, want %q", tt.at, tt.what, err, tt.err)
			}
		case err != nil:
			t.Errorf("step %d why %s: %v", tt.at, tt.what, err)
		case y.Step != tt.want:
			t.Errorf("step %d why %s: step %d (%s), want %d", tt.at, tt.what, y.Step, y.Insn, tt.want)
		}
	}
}

func TestEval(t *testing.T) {
	ctx := context.Background()
	s := firewall(t)
	if _, err := s.Goto(ctx, 6); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		expr string
		want uint64
	}{
		{"1 + 2 * 3", 7}, {"(1 + 2) * 3", 9}, {"1 << 4 | 1", 17}, {"-1 < 0", 1}, {"0xffffffffffffffff < 0", 0}, {"!0 && ~0 == -1", 1},
		{"step", 6}, {"event", 1}, {"r6 == data", 1}, {"$r7 - r6", 14}, {"data_end - data", 42}, {"pkt[12] * 256 + pkt[13]", 0x806},
		{"*(u16 *)(r6 +12)", 0x608}, {"*(s8 *)(r6) + 0", 2}, {"XDP_TX", 3}, {"0 && r9", 0}, {"1 || r9", 1}, {"'A'", 65}, {"7 % 4 - 10 / 3", 0},
		{"verdicts[1]", 0},
	} {
		got, err := s.Eval(tt.expr)
		if err != nil || got != tt.want {
			t.Errorf("%s = %d, %v; want %d", tt.expr, got, err, tt.want)
		}
	}
	for _, expr := range []string{"r9", "pkt[42]", "1 / 0", "*(u64 *)(0)", "TC_ACT_OK", "*(u12 *)(r6)", "zz[1]", "1 2", "", "\"x\"", "verdicts[99]"} {
		if v, err := s.Eval(expr); err == nil {
			t.Errorf("%s = %d, want an error", expr, v)
		}
	}
}

// FuzzWords gives the parsers anything: they answer with an error at worst.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"*5 if r0 == 1 hit%3 once", `ret log "x {r1}"`, "map:counts[6] write", "stack:-8/4 read", "a.c:5", "*(u8*)(r1+1)"} {
		f.Add(s)
	}
	s := nested(f)
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := s.Break(text); err == nil {
			s.Continue(context.Background())
			s.BackContinue(context.Background())
			s.Delete(b.ID)
		}
		s.Eval(text)
		s.Why(context.Background(), text)
	})
}

func TestTooLongAndNothing(t *testing.T) {
	tr, err := trace.New(trace.Inputs{Name: "loop.o", Object: assemble(t, ".program main syscall\nagain: goto again\nexit\n"), Ctx: []byte{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = debug.Open(context.Background(), tr, debug.Options{MaxSteps: 10_000}); !errors.Is(err, debug.ErrTooLong) {
		t.Errorf("an endless loop: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = debug.Open(ctx, tr, debug.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	tr, err = trace.New(trace.Inputs{
		Name: "kmem.o", Object: read(t, "kmem/kmem_modern.bpf.o"), Script: []byte("at 1ms kprobe:vfs_read\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = debug.Open(context.Background(), tr, debug.Options{}); !errors.Is(err, debug.ErrNothingRan) {
		t.Errorf("no program listens: %v", err)
	}
}

// A move that is given up leaves the session where it was.
func TestCancelledMove(t *testing.T) {
	s := open(t, trace.Inputs{Name: "sum.o", Ctx: []byte{}, Object: assemble(t, `
.program main syscall
	r0 = 0
	r1 = 100000
again:
	r0 += r1
	r1 += -1
	if r1 != 0 goto again
	exit
`)})
	do(t, s, "i i i")
	before := mustState(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Continue(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(before, mustState(t, s), sameState); diff != "" {
		t.Error(diff)
	}
	if got := do(t, s, "i"); got != "4@0" {
		t.Error(got)
	}
}
