package tour

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Style colours words by their role; nil functions leave them as they are.
type Style struct {
	Head, Name, Dim, Warn func(string) string
	ASCII                 bool // no box drawing
	Plain                 bool // linear, for screen readers: no rules, one fact a line
}

// Width is the number of columns that text output needs at most, but for code that
// is wider.
const Width = 80

func paint(f func(string) string, s string) string {
	if f == nil || s == "" {
		return s
	}
	return f(s)
}

// WriteText prints all stops.
func (t *Tour) WriteText(w io.Writer, st Style) {
	t.WriteTitle(w, st)
	for i := range t.Stops {
		fmt.Fprintln(w)
		t.Stops[i].WriteText(w, st)
	}
}

// WriteTitle prints what the tour is about.
func (t *Tour) WriteTitle(w io.Writer, st Style) {
	fmt.Fprintf(w, "%s of %s, SEC(%q): %s\n", paint(st.Head, t.Program), t.Object, t.Section, plural(len(t.Stops), "stop"))
}

// WriteText prints one stop.
func (s *Stop) WriteText(w io.Writer, st Style) {
	title := fmt.Sprintf("%d  %s", s.Number, s.Title)
	switch {
	case st.Plain:
		fmt.Fprintf(w, "stop %s\n", title)
	default:
		rule := "─"
		if st.ASCII {
			rule = "-"
		}
		n := max(Width-utf8.RuneCountInString(title)-4, 2)
		fmt.Fprintf(w, "%s %s %s\n", strings.Repeat(rule, 2), paint(st.Head, title), paint(st.Dim, strings.Repeat(rule, n)))
	}
	arrow := " → "
	if st.ASCII || st.Plain {
		arrow = " -> "
	}
	for i, l := range wrap(strings.ReplaceAll(strings.Join(s.Kernel, "\x00"), " ", "\u00a0"), arrow, Width-8) {
		lead := "   in "
		if i > 0 {
			lead = "      "
		}
		fmt.Fprintln(w, paint(st.Dim, lead)+paint(st.Name, strings.ReplaceAll(l, "\u00a0", " ")))
	}
	for _, b := range s.Blocks {
		fmt.Fprintln(w)
		b.writeText(w, st)
	}
}

// wrap joins words that \x00 separates by a joint, and breaks lines at them.
func wrap(words, joint string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.SplitSeq(words, "\x00") {
		switch {
		case word == "":
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+utf8.RuneCountInString(joint)+utf8.RuneCountInString(word) > width:
			lines = append(lines, line+strings.TrimRight(joint, " "))
			line = word
		default:
			line += joint + word
		}
	}
	if line != "" {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

// fold breaks a line of code that is wider than the terminal at a blank; source lines,
// which begin with a semicolon, are cut.
func fold(l string, ascii bool) []string {
	const room = Width - 3
	if utf8.RuneCountInString(l) <= room {
		return []string{l}
	}
	if strings.HasPrefix(l, ";") {
		return []string{clip(l, room, ascii)}
	}
	var lines []string
	for r := []rune(l); len(r) > 0; {
		cut := len(r)
		if cut > room {
			cut = room
			for i := room; i > room/3; i-- {
				if r[i] == ' ' {
					cut = i
					break
				}
			}
		}
		lines = append(lines, strings.TrimRight(string(r[:cut]), " "))
		if r = []rune(strings.TrimLeft(string(r[cut:]), " ")); len(r) > 0 {
			r = append([]rune("      "), r...)
		}
	}
	return lines
}

func (b *Block) writeText(w io.Writer, st Style) {
	switch b.Kind {
	case Text, Note:
		lead := "   "
		if b.Kind == Note {
			lead = " ! "
		}
		for i, l := range wrap(strings.Join(strings.Fields(b.Text), "\x00"), " ", Width-3) {
			if i > 0 {
				lead = "   "
			}
			if b.Kind == Note {
				l = paint(st.Warn, l)
			}
			fmt.Fprintln(w, lead+l)
		}
	case Code:
		for _, l := range b.Lines {
			for _, l := range fold(printable(l), st.ASCII) {
				if strings.HasPrefix(l, ";") {
					l = paint(st.Dim, l)
				}
				fmt.Fprintln(w, strings.TrimRight("   "+l, " "))
			}
		}
	case Table:
		b.writeTable(w, st)
	}
}

// writeTable prints aligned columns; the widest is cut where the row would be wider
// than the terminal.
func (b *Block) writeTable(w io.Writer, st Style) {
	cols := len(b.Head)
	width := make([]int, cols)
	right := make([]bool, cols)
	head := make([]string, cols)
	for i, h := range b.Head {
		head[i] = strings.TrimPrefix(h, ">")
		right[i] = head[i] != h
		width[i] = utf8.RuneCountInString(head[i])
	}
	for _, r := range b.Rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(printable(c)))
		}
	}
	if st.Plain {
		for _, r := range b.Rows {
			for i, c := range r {
				if c != "" {
					fmt.Fprintf(w, "%s %s\n", head[i], printable(c))
				}
			}
		}
		return
	}
	if cols == 2 && strings.Join(head, "") == "" {
		b.writeFacts(w, st, width[0])
		return
	}
	for total(width) > Width-3 {
		widest := 0
		for i := range width {
			if width[i] > width[widest] {
				widest = i
			}
		}
		if width[widest] <= 8 {
			break
		}
		width[widest]--
	}
	line := func(cells []string, f func(string) string) {
		var out strings.Builder
		out.WriteString("  ")
		for i, c := range cells {
			c = clip(printable(c), width[i], st.ASCII)
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i == 0 && f == nil {
				c = paint(st.Name, c)
			} else {
				c = paint(f, c)
			}
			if right[i] {
				c = pad + c
			} else if i < len(cells)-1 {
				c += pad
			}
			out.WriteString(" " + c)
			if i < len(cells)-1 {
				out.WriteString(" ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(out.String(), " "))
	}
	if strings.Join(head, "") != "" {
		dim := st.Dim
		if dim == nil {
			dim = func(s string) string { return s }
		}
		line(head, dim)
	}
	for _, r := range b.Rows {
		line(r, nil)
	}
}

// writeFacts prints a table of two columns without a head: a name, and a text that
// may take several lines.
func (b *Block) writeFacts(w io.Writer, st Style, width int) {
	for _, r := range b.Rows {
		name := paint(st.Name, r[0]) + strings.Repeat(" ", width-utf8.RuneCountInString(r[0]))
		for _, l := range wrap(strings.Join(strings.Fields(printable(r[1])), "\x00"), " ", Width-5-width) {
			fmt.Fprintf(w, "   %s  %s\n", name, l)
			name = strings.Repeat(" ", width)
		}
	}
}

func total(width []int) int {
	n := 2 * (len(width) - 1)
	for _, w := range width {
		n += w
	}
	return n
}

func clip(s string, n int, ascii bool) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	mark := "…"
	if ascii {
		mark = "."
	}
	return string([]rune(s)[:max(n-1, 0)]) + mark
}

// printable makes text out of a file safe for a terminal.
func printable(s string) string {
	bad := func(r rune) bool { return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError }
	if strings.IndexFunc(s, bad) < 0 {
		return strings.ReplaceAll(s, "\t", "    ")
	}
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}
