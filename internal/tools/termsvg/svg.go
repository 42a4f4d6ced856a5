package main

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// Size of a character cell and margin in SVG units.
const (
	cellWidth  = 8.4
	cellHeight = 19
	margin     = 14
)

// colours of the SGR codes that bpfvm uses, on a dark ground. Each has a contrast
// of at least 4.5 to it.
var colours = map[string]string{
	"31": "#ff8a80", "32": "#a5c6a5", "33": "#ffb74d", "34": "#82b1ff", "36": "#80deea",
}

const (
	ground = "#1d2129"
	ink    = "#e4e7ec"
	dim    = "#98a1b0"
)

// render draws a prompt and lines with SGR colour codes as a terminal window.
func render(prompt string, lines []string) []byte {
	all := append([]string{"\x1b[1m" + prompt + "\x1b[0m"}, lines...)
	cols := 80
	for _, l := range all {
		cols = max(cols, utf8.RuneCountInString(plain(l)))
	}
	width := int(float64(cols)*cellWidth) + 2*margin
	height := len(all)*cellHeight + 2*margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(prompt))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="%s"/>`+"\n", width, height, ground)
	fmt.Fprintf(&b, `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="%s" xml:space="preserve">`+"\n", ink)
	for i, l := range all {
		y := margin + i*cellHeight + 14
		col := 0
		for _, s := range spans(l) {
			n := utf8.RuneCountInString(s.text)
			if strings.TrimSpace(s.text) != "" {
				// textLength keeps columns aligned whatever font there is.
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" textLength="%.1f"%s>%s</text>`+"\n",
					margin+float64(col)*cellWidth, y, float64(n)*cellWidth, s.attr, html.EscapeString(s.text))
			}
			col += n
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.Bytes()
}

// span is text in one style.
type span struct{ text, attr string }

// spans splits a line at its colour codes. Leading blanks become spans of their
// own, since renderers trim them.
func spans(line string) []span {
	var out []span
	attr := ""
	add := func(text string) {
		trimmed := strings.TrimLeft(text, " ")
		if n := len(text) - len(trimmed); n > 0 {
			out = append(out, span{text[:n], ""})
		}
		if trimmed != "" {
			body := strings.TrimRight(trimmed, " ")
			out = append(out, span{body, attr})
			if n := len(trimmed) - len(body); n > 0 {
				out = append(out, span{trimmed[len(body):], ""})
			}
		}
	}
	for {
		before, rest, found := strings.Cut(line, "\x1b[")
		add(before)
		if !found {
			return out
		}
		codes, after, _ := strings.Cut(rest, "m")
		attr = style(codes)
		line = after
	}
}

// style gives the SVG attributes of SGR codes; 0 ends all of them.
func style(codes string) string {
	var attr strings.Builder
	for c := range strings.SplitSeq(codes, ";") {
		switch {
		case c == "1":
			attr.WriteString(` font-weight="bold"`)
		case c == "2":
			attr.WriteString(` fill="` + dim + `"`)
		case colours[c] != "":
			attr.WriteString(` fill="` + colours[c] + `"`)
		}
	}
	return attr.String()
}

// plain removes the colour codes of a line.
func plain(line string) string {
	var b strings.Builder
	for _, s := range spans(line) {
		b.WriteString(s.text)
	}
	return b.String()
}
