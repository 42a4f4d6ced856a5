package cfg

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Sizes of the picture in pixels: a character of the 13-pixel monospace font, and
// what lies around it.
const (
	charWidth  = 7.8
	lineHeight = 18
	boxPadX    = 12
	boxPadY    = 8
	titleSpace = 34
	margin     = 12
)

// svgStyle makes the picture readable on light and dark pages. Kinds of edges differ
// in more than colour: loops are thick, the way of a condition that holds is dashed.
const svgStyle = `<style>
svg { background: #fff; } text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #1a1a1a; white-space: pre; }
.title { font-weight: 600; font-size: 15px; } .src { fill: #4f7a28; } .label { font-size: 11px; fill: #767676; }
rect { fill: #f6f8fa; stroke: #8c959f; } path { fill: none; stroke: #57606a; stroke-width: 1.4; }
.taken { stroke: #0072b2; stroke-dasharray: 5 3; } .loop { stroke: #d55e00; stroke-width: 2.4; }
marker path { fill: #57606a; stroke: none; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .src { fill: #8ac76a; } rect { fill: #161b22; stroke: #6e7681; }
path { stroke: #9198a1; } .taken { stroke: #56b4e9; } .loop { stroke: #e69f00; } marker path { fill: #9198a1; }
}
</style>
<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker>
`

// WriteSVG draws the graph as a picture that needs nothing else.
func (p *Picture) WriteSVG(w io.Writer) error {
	if err := p.check(); err != nil {
		return err
	}
	text := p.rows()
	lay := p.Graph.Layout(func(block int) (int, int) {
		rows := text[block]
		return int(float64(columns(rows))*charWidth) + 2*boxPadX, len(rows)*lineHeight + 2*boxPadY
	}, Spacing{X: 36, Track: 12, Pad: 16})
	b := bufio.NewWriter(w)
	width, height := lay.Width+2*margin, lay.Height+titleSpace+margin
	width = max(width, int(float64(len(p.Name))*charWidth*1.2)+2*margin)
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"control flow of %s\">\n",
		width, height, width, height, escape(p.Name))
	b.WriteString(svgStyle)
	fmt.Fprintf(b, "<text class=\"title\" x=\"%d\" y=\"22\">%s</text>\n<g transform=\"translate(%d %d)\">\n", margin, escape(p.Name), margin, titleSpace)
	for i := range lay.Lines {
		p.svgLine(b, &lay.Lines[i])
	}
	for i, box := range lay.Boxes {
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\"/>\n", box.X, box.Y, box.W, box.H)
		for k, r := range text[i] {
			class := ""
			if r.source {
				class = ` class="src"`
			}
			fmt.Fprintf(b, "<text%s x=\"%d\" y=\"%d\">%s</text>\n", class, box.X+boxPadX, box.Y+boxPadY+(k+1)*lineHeight-5, escape(r.text))
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.Flush()
}

func (p *Picture) svgLine(b *bufio.Writer, l *Line) {
	class := p.Graph.way(l)
	var d strings.Builder
	for i, pt := range l.Points {
		fmt.Fprintf(&d, "%c%d %d", "ML"[min(i, 1)], pt[0], pt[1])
	}
	attr := ""
	if class != "" {
		attr = fmt.Sprintf(" class=%q", class)
	}
	fmt.Fprintf(b, "<path%s d=\"%s\" marker-end=\"url(#arrow)\"/>\n", attr, d.String())
	if class != "" {
		fmt.Fprintf(b, "<text class=\"label\" x=\"%d\" y=\"%d\">%s</text>\n", l.Points[0][0]+4, l.Points[0][1]+12, class)
	}
}

// escape makes text safe inside of an element or an attribute.
func escape(s string) string {
	var b strings.Builder
	if xml.EscapeText(&b, []byte(s)) != nil {
		return "" // a strings.Builder takes everything
	}
	return b.String()
}
