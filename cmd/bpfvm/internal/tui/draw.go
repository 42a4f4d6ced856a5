//go:build !js

package tui

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"

	"bpfvm/spec"
)

// The smallest screen on which the panes have room.
const (
	minWidth  = 60
	minHeight = 16
)

// glyphs are the lines between panes.
type glyphs struct{ h, v, tl, tr, bl, br, td, tu, lt, rt, x, dot string }

var (
	boxGlyphs   = glyphs{"─", "│", "┌", "┐", "└", "┘", "┬", "┴", "├", "┤", "┼", "·"}
	asciiGlyphs = glyphs{"-", "|", "+", "+", "+", "+", "+", "+", "+", "+", "+", "."}
)

// fit cuts or fills text to exactly n columns.
func fit(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if w := lipgloss.Width(s); w <= n {
		return s + strings.Repeat(" ", n-w)
	}
	var b strings.Builder
	used := 0
	for _, r := range s {
		w := lipgloss.Width(string(r))
		if used+w > n {
			break
		}
		b.WriteRune(r)
		used += w
	}
	return b.String() + strings.Repeat(" ", n-used)
}

// paint colours a whole cell by its role.
func (m *Model) paint(s string, r role) string {
	if !m.opts.Color {
		return s
	}
	st := lipgloss.NewStyle()
	switch r {
	case roleHere:
		st = st.Reverse(true)
	case roleChanged:
		st = st.Foreground(lipgloss.Color("3")).Bold(true)
	case roleFault:
		st = st.Foreground(lipgloss.Color("1")).Bold(true)
	case roleDim:
		st = st.Faint(true)
	case roleFound:
		st = st.Foreground(lipgloss.Color("6")).Bold(true)
	default:
		return s
	}
	return st.Render(s)
}

// window returns the n lines of a pane that are in sight.
func (p *pane) window(n, scroll int) []line {
	start := 0
	if p.at >= 0 && len(p.lines) > n {
		start = min(max(p.at-n/2, 0), len(p.lines)-n)
	}
	start = min(max(start+scroll, 0), max(len(p.lines)-n, 0))
	return p.lines[start:min(start+n, len(p.lines))]
}

// layout is how the screen is cut.
type layout struct{ left, right, top, mid int }

func (m *Model) layout() layout {
	rest := m.height - 5 // header, two titles, timeline, status
	mid := max(11, rest*2/5)
	if rest-mid < 5 {
		mid = max(rest-5, 1)
	}
	left := (m.width - 3) * 3 / 7
	return layout{left, m.width - 3 - left, rest - mid, mid}
}

// draw is the whole screen.
func (m *Model) draw() string {
	if m.width < minWidth || m.height < minHeight {
		return fmt.Sprintf("The window has %dx%d characters;\nat least %dx%d are needed.\nq quits; --plain needs none.", m.width, m.height, minWidth, minHeight)
	}
	if m.scene == nil {
		return "reading.."
	}
	if m.overlay != nil {
		return m.drawOverlay()
	}
	l, g := m.layout(), m.glyphs()
	sc := m.scene
	rows := []string{m.paint(fit(m.header(), m.width), roleDim)}
	rows = append(rows, m.titles(g.tl, g.td, g.tr, l, sc.c.title, sc.insns.title))
	rows = append(rows, m.columns(&sc.c, 0, &sc.insns, m.codeScroll, l, l.top)...)
	data := &sc.data[m.data]
	rows = append(rows, m.titles(g.lt, g.x, g.rt, l, sc.regs.title, m.dataTitle(data)))
	rows = append(rows, m.columns(&sc.regs, 0, data, m.scroll, l, l.mid)...)
	rows = append(rows, m.timeline(), m.status())
	return strings.Join(rows, "\n")
}

func (m *Model) glyphs() glyphs {
	if m.opts.ASCII {
		return asciiGlyphs
	}
	return boxGlyphs
}

// dataTitle names the pane, and the one that Tab leads to.
func (m *Model) dataTitle(p *pane) string {
	return p.title + "  [Tab: " + dataNames[(m.data+1)%numData] + "]"
}

// titles is the rule above two panes.
func (m *Model) titles(a, b, c string, l layout, left, right string) string {
	g := m.glyphs()
	cell := func(title string, n int) string {
		t := fit(title, min(lipgloss.Width(title), max(n-3, 0)))
		if t == "" {
			return strings.Repeat(g.h, n)
		}
		return g.h + " " + t + " " + strings.Repeat(g.h, max(n-3-lipgloss.Width(t), 0))
	}
	return a + cell(left, l.left) + b + cell(right, l.right) + c
}

// columns are the rows of two panes side by side.
func (m *Model) columns(left *pane, ls int, right *pane, rs int, l layout, n int) []string {
	a, b := left.window(n, ls), right.window(n, rs)
	v := m.glyphs().v
	rows := make([]string, n)
	for i := range n {
		rows[i] = v + m.cell(a, i, l.left) + v + m.cell(b, i, l.right) + v
	}
	return rows
}

func (m *Model) cell(lines []line, i, n int) string {
	if i >= len(lines) {
		return strings.Repeat(" ", n)
	}
	return m.paint(fit(lines[i].text, n), lines[i].role)
}

// header says where in the recording it is, and what runs. What does not fit is cut
// at the end, where the event's name is.
func (m *Model) header() string {
	const help = " ?=help "
	sc := m.scene
	s := " " + m.opts.Title
	if sc.run == nil {
		s += fmt.Sprintf("  the end  step %d/%d", sc.st.Step, sc.steps)
	} else {
		s += fmt.Sprintf(":%s  event %d/%d  step %d/%d  %s", spec.Plain(sc.st.Prog), sc.run.Number, sc.events, sc.st.Step, sc.steps, spec.Plain(sc.run.Event))
		if p := sc.run.Result.Packet; p != nil {
			s += " " + p.Summary()
		} else if sc.run.Comm != "" {
			s += fmt.Sprintf(" %s/%d", spec.Plain(sc.run.Comm), sc.run.PID)
		}
	}
	return fit(s, m.width-len(help)) + help
}

// timeline is the present run from its first step to its last.
func (m *Model) timeline() string {
	g, sc := m.glyphs(), m.scene
	if sc.run == nil {
		return g.bl + fit(" end of the recording; capitals and [ go back ", m.width-2) + g.br
	}
	r := sc.run
	left := fmt.Sprintf(" run %d/%d %d [", r.Index+1, sc.runs, r.First)
	right := fmt.Sprintf("] %d  b * ! ", r.End()-1)
	if sc.marks != "" {
		right = fmt.Sprintf("] %d  %s ", r.End()-1, sc.marks)
	}
	n := m.width - 2 - len(left) - len(right)
	if n < 8 {
		return g.bl + fit(left+right, m.width-2) + g.br
	}
	bar := make([]string, n)
	for i := range bar {
		bar[i] = g.dot
	}
	col := func(step uint64) int {
		if r.Steps < 2 {
			return 0
		}
		return int((step - r.First) * uint64(n-1) / (r.Steps - 1))
	}
	for _, s := range sc.spans.Calls {
		bar[col(s)] = "("
	}
	for _, s := range sc.spans.Writes {
		bar[col(s)] = "*"
	}
	for _, s := range sc.spans.Breaks {
		bar[col(s)] = "b"
	}
	if r.Fault != nil {
		bar[n-1] = "!"
	}
	bar[col(sc.st.Step)] = ">"
	return g.bl + left + strings.Join(bar, "") + right + g.br
}

// status is the last line: a prompt, or what happened last.
func (m *Model) status() string {
	switch {
	case m.busy:
		return fit(" working.. Esc stops", m.width)
	case m.mode != 0:
		text := m.prompt() + m.input
		if w := lipgloss.Width(text); w >= m.width {
			text = text[len(text)-m.width+1:]
		}
		return fit(text, m.width)
	}
	r := rolePlain
	if m.failed {
		r = roleFault
	}
	return m.paint(fit(" "+m.message, m.width), r)
}

// drawOverlay is a page of text over the panes.
func (m *Model) drawOverlay() string {
	g := m.glyphs()
	n := m.height - 3
	inner := m.width - 2
	start := min(m.overScroll, max(len(m.overlay)-n, 0))
	rows := []string{m.paint(fit(m.header(), m.width), roleDim)}
	rows = append(rows, g.tl+g.h+" "+fit(m.overTitle, min(lipgloss.Width(m.overTitle), inner-3))+" "+strings.Repeat(g.h, max(inner-3-lipgloss.Width(m.overTitle), 0))+g.tr)
	for i := range n - 1 {
		text := ""
		if start+i < len(m.overlay) {
			text = m.overlay[start+i]
		}
		rows = append(rows, g.v+fit(" "+text, inner)+g.v)
	}
	rows = append(rows, g.bl+strings.Repeat(g.h, inner)+g.br)
	hint := " any key goes back"
	if len(m.overlay) > n-1 {
		hint = " arrows scroll, any other key goes back"
	}
	return strings.Join(append(rows, fit(hint, m.width)), "\n")
}
