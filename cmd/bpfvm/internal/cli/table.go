package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table prints rows in aligned columns, or, for screen readers, one fact a line.
type table struct {
	cols []column
	rows [][]string
}

// column heads a column. The first column names the row.
type column struct {
	head  string
	right bool                // numbers
	paint func(string) string // may be nil
}

func newTable(heads ...string) *table {
	t := &table{}
	for _, h := range heads {
		c := column{head: h}
		if strings.HasPrefix(h, ">") {
			c.head, c.right = h[1:], true
		}
		t.cols = append(t.cols, c)
	}
	return t
}

// paint sets the colour of column i.
func (t *table) paint(i int, f func(string) string) { t.cols[i].paint = f }

// add appends a row; missing cells are empty.
func (t *table) add(cells ...any) {
	row := make([]string, len(t.cols))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

// write prints the table. Columns are two blanks apart; the last is not padded.
func (t *table) write(w io.Writer, a *app, indent string) {
	if a.flags.plain {
		t.writePlain(w)
		return
	}
	width := make([]int, len(t.cols))
	for i, c := range t.cols {
		width[i] = utf8.RuneCountInString(c.head)
		for _, r := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(r[i]))
		}
	}
	line := func(cells func(i int) string, paint func(i int) func(string) string) {
		var b strings.Builder
		b.WriteString(indent)
		last := len(t.cols) - 1
		for last > 0 && cells(last) == "" {
			last--
		}
		for i := range t.cols[:last+1] {
			text := cells(i)
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(text))
			shown := text
			if p := paint(i); p != nil {
				shown = p(text)
			}
			if i > 0 {
				b.WriteString("  ")
			}
			switch {
			case t.cols[i].right:
				b.WriteString(pad + shown)
			case i == last:
				b.WriteString(shown)
			default:
				b.WriteString(shown + pad)
			}
		}
		fmt.Fprintln(w, b.String())
	}
	if t.hasHeads() {
		line(func(i int) string { return t.cols[i].head }, func(int) func(string) string { return a.style.head })
	}
	for _, r := range t.rows {
		line(func(i int) string { return r[i] }, func(i int) func(string) string { return t.cols[i].paint })
	}
}

func (t *table) hasHeads() bool {
	for _, c := range t.cols {
		if c.head != "" {
			return true
		}
	}
	return false
}

func (t *table) writePlain(w io.Writer) {
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s %s\n", strings.ToLower(t.cols[0].head), r[0])
		for i := 1; i < len(r); i++ {
			if r[i] != "" {
				fmt.Fprintf(w, "  %s %s\n", strings.ToLower(t.cols[i].head), r[i])
			}
		}
	}
}

// wrap breaks text into lines of at most width columns at blanks. Paragraphs are
// kept; lines that begin with a blank are taken as they are.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	for i, para := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		col := 0
		for line := range strings.SplitSeq(para, "\n") {
			if strings.HasPrefix(line, " ") {
				if col > 0 {
					b.WriteByte('\n')
				}
				b.WriteString(indent + line + "\n")
				col = 0
				continue
			}
			for word := range strings.FieldsSeq(line) {
				n := utf8.RuneCountInString(word)
				switch {
				case col == 0:
					b.WriteString(indent)
					col = len(indent)
				case col+1+n > width:
					b.WriteString("\n" + indent)
					col = len(indent)
				default:
					b.WriteByte(' ')
					col++
				}
				b.WriteString(word)
				col += n
			}
		}
		if col > 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// clip cuts text to n columns.
func (s style) clip(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	e := s.ellipsis()
	r := []rune(text)
	return strings.TrimRight(string(r[:max(n-utf8.RuneCountInString(e), 0)]), " ") + e
}

// printable makes text out of a file safe for a terminal: control characters and
// broken UTF-8 become escapes.
func printable(s string) string {
	for _, r := range s {
		if r < 0x20 && r != '\t' || r == 0x7f || r == utf8.RuneError || r >= 0x80 && r < 0xa0 {
			q := fmt.Sprintf("%q", s)
			return q[1 : len(q)-1]
		}
	}
	return s
}
