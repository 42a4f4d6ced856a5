package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// Measures of the picture in SVG units.
const (
	boxHeight = 30
	rowStep   = 74
	gap       = 22
	charWidth = 8.2
	edge      = 16
)

// box is a room's place.
type box struct{ x, y, w float64 }

// draw lays the rooms out in rows: what imports nothing stands at the bottom, and
// every room above all that it imports. Lines are drawn only where no longer chain
// of imports says the same.
func draw(imports map[string]map[string]bool) []byte {
	rows := layers(imports)
	place, width := arrange(rows)
	height := len(rows)*rowStep - (rowStep - boxHeight) + 2*edge
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img" aria-label="packages and their imports">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%d" rx="8" fill="#ffffff"/>`+"\n", width, height)
	b.WriteString(`<g stroke="#8a94a6" stroke-width="1.2" fill="none">` + "\n")
	for _, from := range slices.Sorted(maps.Keys(imports)) {
		for _, to := range slices.Sorted(maps.Keys(reduced(imports, from))) {
			f, t := place[from], place[to]
			x1, y1, x2, y2 := f.x+f.w/2, f.y+boxHeight, t.x+t.w/2, t.y
			bend := (y2 - y1) / 2
			fmt.Fprintf(&b, `<path d="M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f"/>`+"\n", x1, y1, x1, y1+bend, x2, y2-bend, x2, y2)
		}
	}
	b.WriteString("</g>\n" + `<g font-family="ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="13.5" text-anchor="middle">` + "\n")
	for _, name := range slices.Sorted(maps.Keys(place)) {
		p := place[name]
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="5" fill="#e8eefc" stroke="#3b5bab"/><text x="%.1f" y="%.1f" fill="#14213d">%s</text>`+"\n",
			p.x, p.y, p.w, boxHeight, p.x+p.w/2, p.y+boxHeight/2+4.5, name)
	}
	b.WriteString("</g>\n</svg>\n")
	return b.Bytes()
}

// layers sorts the rooms by the longest chain of imports below them, the highest
// first.
func layers(imports map[string]map[string]bool) [][]string {
	depth := map[string]int{}
	var of func(string) int
	of = func(name string) int {
		if d, ok := depth[name]; ok {
			return d
		}
		d := 0
		for to := range imports[name] {
			d = max(d, of(to)+1)
		}
		depth[name] = d
		return d
	}
	top := 0
	for name := range imports {
		top = max(top, of(name))
	}
	rows := make([][]string, top+1)
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		rows[top-depth[name]] = append(rows[top-depth[name]], name)
	}
	return rows
}

// arrange gives each room its place; rows are centred.
func arrange(rows [][]string) (map[string]box, float64) {
	widthOf := func(name string) float64 { return float64(len(name))*charWidth + 20 }
	width := 0.0
	for _, row := range rows {
		w := 2.0 * edge
		for _, name := range row {
			w += widthOf(name) + gap
		}
		width = max(width, w-gap)
	}
	place := map[string]box{}
	for i, row := range rows {
		w := -float64(gap)
		for _, name := range row {
			w += widthOf(name) + gap
		}
		x := (width - w) / 2
		for _, name := range row {
			place[name] = box{x, float64(edge + i*rowStep), widthOf(name)}
			x += widthOf(name) + gap
		}
	}
	return place, width
}

// reduced returns the imports of a room that no other import of it reaches.
func reduced(imports map[string]map[string]bool, from string) map[string]bool {
	out := map[string]bool{}
	for to := range imports[from] {
		direct := true
		for via := range imports[from] {
			if via != to && reaches(imports, via, to) {
				direct = false
				break
			}
		}
		if direct {
			out[to] = true
		}
	}
	return out
}

func reaches(imports map[string]map[string]bool, from, to string) bool {
	if imports[from][to] {
		return true
	}
	for via := range imports[from] {
		if reaches(imports, via, to) {
			return true
		}
	}
	return false
}
