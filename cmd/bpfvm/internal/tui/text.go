package tui

import (
	"fmt"
	"path"
	"strings"

	"bpfvm/debug"
	"bpfvm/isa"
	"bpfvm/spec"
)

// lineText is "drop.c:11  if (x)".
func lineText(l *spec.Line) string {
	if l == nil {
		return ""
	}
	s := fmt.Sprintf("%s:%d", spec.Plain(path.Base(l.File)), l.Line)
	if t := strings.TrimSpace(spec.Plain(l.Text)); t != "" {
		s += "  " + t
	}
	return s
}

// reasonText says why a move ended, empty for a plain step.
func reasonText(stop debug.Stop) string {
	switch stop.Reason {
	case debug.ReasonBreakpoint:
		s := fmt.Sprintf("breakpoint %d, %s", stop.Breakpoint.ID, stop.Breakpoint.Place())
		if stop.What != "" {
			s += ": " + stop.What
		}
		return s
	case debug.ReasonFault:
		return "fault: the next step goes wrong"
	case debug.ReasonStart:
		return "start of the recording"
	case debug.ReasonEnd:
		return "end of the recording"
	}
	return ""
}

// stateLines is a place in two lines.
func stateLines(s *debug.Session, st *debug.State) []string {
	if st.Run == nil {
		return []string{fmt.Sprintf("step %d/%d  all runs are over", st.Step, s.Steps())}
	}
	head := fmt.Sprintf("step %d/%d  event %d %s  %s", st.Step, s.Steps(), st.Run.Number, spec.Plain(st.Run.Event), spec.Plain(st.Prog))
	if st.Frame > 0 || st.Func != st.Prog {
		head += fmt.Sprintf("  frame %d %s", st.Frame, spec.Plain(st.Func))
	}
	if l := lineText(st.Line); l != "" {
		head += "  " + l
	}
	insn := fmt.Sprintf("%5d: %s", st.PC, st.Insn)
	switch {
	case st.Fault != nil:
		insn += "    ! " + spec.Plain(st.Fault.Msg)
	case st.Note != "":
		insn += "    ; " + spec.Plain(st.Note)
	}
	return []string{head, insn}
}

// runText is a run that is over, in one line.
func runText(r *debug.Run) string {
	s := fmt.Sprintf("event %d %s  %s", r.Number, spec.Plain(r.Event), spec.Plain(r.Program))
	if p := r.Result.Packet; p != nil {
		s = fmt.Sprintf("event %d %s %s  %s", r.Number, spec.Plain(r.Event), p.Summary(), spec.Plain(r.Program))
	}
	switch {
	case r.Fault != nil:
		return s + "  faulted: " + spec.Plain(r.Fault.Msg)
	case r.Ret != "":
		s += fmt.Sprintf("  r0=%s %s", numberText(r.R0), r.Ret)
	default:
		s += "  r0=" + numberText(r.R0)
	}
	s += fmt.Sprintf("  %d insns", r.Result.Insns)
	if p := r.Result.Packet; p != nil && p.Changed() {
		s += "  " + spec.Plain(p.String())
	}
	return s
}

// numberText prints small numbers in decimal and others in hexadecimal.
func numberText(v uint64) string {
	if s := int64(v); s > -4096 && s < 1<<20 {
		return fmt.Sprint(s)
	}
	return fmt.Sprintf("%#x", v)
}

// regText is the content of a register, with the number in hexadecimal behind a
// pointer's name or a large decimal.
func regText(r debug.Reg) string {
	switch {
	case !r.Init:
		return "?"
	case r.Pointer:
		return spec.Plain(r.Text)
	case r.Value > 9 && int64(r.Value) > 0 && r.Value < 1<<20:
		return fmt.Sprintf("%s  %#x", r.Text, r.Value)
	}
	return r.Text
}

// changedRegs says which registers differ from an earlier place.
func changedRegs(prev, now *debug.State) (changed [isa.NumRegisters]bool) {
	if prev == nil || prev.Run == nil || now.Run == nil {
		return changed
	}
	for i := range changed {
		a, b := prev.Regs[i], now.Regs[i]
		changed[i] = a.Init != b.Init || b.Init && a.Value != b.Value
	}
	return changed
}

// mark is the word's first column: a mark or a blank.
func mark(on bool, m string) string {
	if on {
		return m
	}
	return strings.Repeat(" ", len(m))
}

// hexRow prints up to n bytes as pairs, with brackets around the bytes from lo to
// hi (counted from the row's first); b[i] prints as ".." where known[i] is false.
func hexRow(b []byte, known []bool, n, lo, hi int) string {
	var out strings.Builder
	for i := range n {
		switch {
		case lo < hi && i == lo:
			out.WriteByte('[')
		case lo < hi && i == hi:
			out.WriteByte(']')
		default:
			out.WriteByte(' ')
		}
		switch {
		case i >= len(b):
			out.WriteString("  ")
		case known != nil && !known[i]:
			out.WriteString("..")
		default:
			fmt.Fprintf(&out, "%02x", b[i])
		}
	}
	if lo < hi && hi >= n {
		out.WriteByte(']')
	} else {
		out.WriteByte(' ')
	}
	return out.String()
}

// asciiText is bytes as text, a point for each that is none.
func asciiText(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if c < ' ' || c > '~' {
			c = '.'
		}
		out[i] = c
	}
	return string(out)
}
