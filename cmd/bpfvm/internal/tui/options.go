package tui

import "io"

// Options of the screen.
type Options struct {
	In    io.Reader
	Out   io.Writer
	ASCII bool // no box drawing
	Color bool
	Title string // what is stepped through: the object's name
}
