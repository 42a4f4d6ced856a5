package cfg

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Lines of a character: which of its sides they reach.
const (
	north = 1 << iota
	east
	south
	west
)

// boxRunes are the characters for each set of sides; two lines that cross look like
// a meeting of four, as in every terminal.
var boxRunes = [16]rune{
	north: '╵', east: '╶', south: '╷', west: '╴',
	north | south: '│', east | west: '─',
	north | east: '└', north | west: '┘', south | east: '┌', south | west: '┐',
	north | south | east: '├', north | south | west: '┤', east | west | south: '┬', east | west | north: '┴',
	north | south | east | west: '┼',
}

// WriteText draws the graph in characters. T marks the way of a condition that holds.
// With ascii, lines are of |, - and +.
func (p *Picture) WriteText(w io.Writer, ascii bool) error {
	if err := p.check(); err != nil {
		return err
	}
	text := p.rows()
	lay := p.Graph.Layout(func(block int) (int, int) {
		rows := text[block]
		return columns(rows) + 4, len(rows) + 2
	}, Spacing{X: 3, Track: 2, Pad: 1})
	if lay.Width+1 > maxCells/(lay.Height+1) {
		return fmt.Errorf("%s needs %d columns and %d lines: %w", p.Name, lay.Width, lay.Height, ErrTooLarge)
	}
	c := canvas{width: lay.Width + 1, cells: make([]cell, (lay.Width+1)*(lay.Height+1))}
	for i := range lay.Lines {
		c.line(&lay.Lines[i])
	}
	for i, b := range lay.Boxes {
		c.box(b, text[i])
	}
	for i := range lay.Lines {
		l := &lay.Lines[i]
		end := l.Points[len(l.Points)-1]
		c.put(end[0], end[1]-1, 'v', '▼', ascii)
		x, y := l.Points[0][0], l.Points[0][1]
		c.at(x, y-1).sides |= south
		if p.Graph.Blocks[l.From].Succs[l.Edge].Kind == Taken {
			c.put(x+1, y, 'T', 'T', ascii)
		}
	}
	return c.write(w, ascii)
}

// maxCells bounds the canvas: 8 bytes each.
const maxCells = 1 << 24

type cell struct {
	sides uint8
	text  rune
}

type canvas struct {
	width int
	cells []cell
}

func (c *canvas) at(x, y int) *cell { return &c.cells[y*c.width+x] }

func (c *canvas) put(x, y int, plain, nice rune, ascii bool) {
	if ascii {
		nice = plain
	}
	c.at(x, y).text = nice
}

// line draws the parts of an edge.
func (c *canvas) line(l *Line) {
	c.at(l.Points[0][0], l.Points[0][1]).sides |= north // to the block
	for i := 1; i < len(l.Points); i++ {
		a, b := l.Points[i-1], l.Points[i]
		for a != b {
			next := a
			var leave, enter uint8
			switch {
			case b[0] > a[0]:
				next[0]++
				leave, enter = east, west
			case b[0] < a[0]:
				next[0]--
				leave, enter = west, east
			case b[1] > a[1]:
				next[1]++
				leave, enter = south, north
			default:
				next[1]--
				leave, enter = north, south
			}
			c.at(a[0], a[1]).sides |= leave
			c.at(next[0], next[1]).sides |= enter
			a = next
		}
	}
}

func (c *canvas) box(b Box, rows []row) {
	for y := range b.H {
		for x := range b.W {
			*c.at(b.X+x, b.Y+y) = cell{text: ' '}
		}
	}
	for x := 1; x < b.W-1; x++ {
		c.at(b.X+x, b.Y).sides, c.at(b.X+x, b.Y).text = east|west, 0
		c.at(b.X+x, b.Y+b.H-1).sides, c.at(b.X+x, b.Y+b.H-1).text = east|west, 0
	}
	for y := 1; y < b.H-1; y++ {
		c.at(b.X, b.Y+y).sides, c.at(b.X, b.Y+y).text = north|south, 0
		c.at(b.X+b.W-1, b.Y+y).sides, c.at(b.X+b.W-1, b.Y+y).text = north|south, 0
	}
	*c.at(b.X, b.Y) = cell{sides: south | east}
	*c.at(b.X+b.W-1, b.Y) = cell{sides: south | west}
	*c.at(b.X, b.Y+b.H-1) = cell{sides: north | east}
	*c.at(b.X+b.W-1, b.Y+b.H-1) = cell{sides: north | west}
	for i, r := range rows {
		x := b.X + 2
		for _, ch := range r.text {
			c.at(x, b.Y+1+i).text = ch
			x++
		}
	}
}

func (c *canvas) write(w io.Writer, ascii bool) error {
	b := bufio.NewWriter(w)
	var line strings.Builder
	for i := 0; i < len(c.cells); i += c.width {
		line.Reset()
		for _, ce := range c.cells[i : i+c.width] {
			switch {
			case ce.text != 0:
				line.WriteRune(ce.text)
			case ce.sides == 0:
				line.WriteByte(' ')
			case !ascii:
				line.WriteRune(boxRunes[ce.sides])
			case ce.sides == east|west:
				line.WriteByte('-')
			case ce.sides&(east|west) == 0:
				line.WriteByte('|')
			default:
				line.WriteByte('+')
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.Flush()
}
