package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Format prints a script in its canonical form. Statements that share a line stay
// together, blank lines stay single, comments stay where they are; parsing the
// result gives the same statements.
func Format(s *Script) string {
	var b strings.Builder
	line := 0
	for i, st := range s.Stmts {
		p := st.Position()
		_, isComment := st.(*Comment)
		switch {
		case i == 0:
		case p.Line != 0 && p.Line == line && isComment:
			b.WriteByte(' ')
		case p.Line != 0 && p.Line == line:
			b.WriteString(" ; ")
		case p.Line > line+1 && line != 0:
			b.WriteString("\n\n")
		default:
			b.WriteByte('\n')
		}
		line = p.Line
		st.format(&b)
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// FormatStmt is the canonical text of one statement.
func FormatStmt(st Stmt) string {
	var b strings.Builder
	st.format(&b)
	return b.String()
}

func (c *Clock) format(b *strings.Builder) {
	b.WriteString("clock")
	for _, f := range []struct {
		name string
		d    *time.Duration
	}{{"start", c.Start}, {"step", c.Step}} {
		if f.d != nil {
			b.WriteString(" " + f.name + "=" + formatDuration(*f.d))
		}
	}
}

func (r *Random) format(b *strings.Builder) { fmt.Fprintf(b, "random seed=%d", r.Seed) }

func (c *CPU) format(b *strings.Builder) { fmt.Fprintf(b, "cpu %d", c.N) }

func (m *Mock) format(b *strings.Builder) {
	b.WriteString("mock " + m.Helper + " = ")
	formatList(b, m.Values)
}

func (m *Mem) format(b *strings.Builder) {
	fmt.Fprintf(b, "mem %#x = ", m.Addr)
	m.Value.format(b)
}

func (t *Task) format(b *strings.Builder) {
	b.WriteString("task")
	formatArgs(b, t.Set)
}

func (m *MapSet) format(b *strings.Builder) {
	b.WriteString("map " + m.Map + "[")
	m.Key.format(b)
	b.WriteString("] = ")
	m.Value.format(b)
}

func (e *Event) format(b *strings.Builder) {
	var parts strings.Builder
	if e.At != nil {
		parts.WriteString(" at " + formatDuration(*e.At))
	}
	formatArgs(&parts, e.Set)
	parts.WriteString(" " + e.Name())
	formatArgs(&parts, e.Args)
	b.WriteString(parts.String()[1:])
}

func (c *Comment) format(b *strings.Builder) { b.WriteString("#" + c.Text) }

func (e *Expect) format(b *strings.Builder) {
	b.WriteString("expect ")
	word, sub, _ := strings.Cut(string(e.Subject), " ")
	b.WriteString(word)
	if e.Name != "" {
		b.WriteString(" " + e.Name)
	}
	switch e.Subject {
	case SubjectMap:
		b.WriteByte('[')
		e.Key.format(b)
		b.WriteString("]" + e.Path)
	case SubjectMapMissing:
		b.WriteString(" missing ")
		e.Key.format(b)
		return
	case SubjectMapEntries:
		b.WriteString(" " + sub)
	}
	b.WriteString(" " + e.condition())
	switch e.Subject {
	case SubjectTraceLines:
		b.WriteString(" lines")
	case SubjectRingbuf, SubjectPerf:
		b.WriteString(" records")
	}
}

// condition is the part after the subject: "== 1", "none".
func (e *Expect) condition() string {
	switch {
	case e.Want != nil:
		return e.Op + " " + e.Want.String()
	case e.Subject == SubjectPacket:
		return "unchanged"
	}
	return "none"
}

func formatArgs(b *strings.Builder, args []Arg) {
	for _, a := range args {
		b.WriteString(" " + a.Name + "=")
		a.Value.format(b)
	}
}

func formatList(b *strings.Builder, vs []Value) {
	for i, v := range vs {
		if i > 0 {
			b.WriteString(", ")
		}
		v.format(b)
	}
}

func (v Value) format(b *strings.Builder) {
	switch v.Kind {
	case ValueNumber:
		n := v.Num
		if v.Neg {
			b.WriteByte('-')
			n = -n
		}
		if v.Hex {
			fmt.Fprintf(b, "%#x", n)
		} else {
			b.WriteString(strconv.FormatUint(n, 10))
		}
	case ValueDuration:
		b.WriteString(formatDuration(time.Duration(v.Num)))
	case ValueWord, ValueJSON:
		b.WriteString(v.Text)
	case ValueString:
		b.WriteString(strconv.Quote(v.Text))
	case ValueCall:
		b.WriteString(v.Text + "(")
		formatList(b, v.Args)
		b.WriteByte(')')
	case ValueStruct:
		b.WriteString(v.Text + "{")
		for i, f := range v.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(f.Name + "=")
			f.Value.format(b)
		}
		b.WriteByte('}')
	}
}
