package cover

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"mark": func(insns, ways Count) string {
		return map[string]string{"!": "no", "~": "partly", " ": "yes"}[mark(insns, ways)]
	},
	"one": func(n uint64) Count { return one(n > 0) },
}).Parse(pageText))

// htmlLine is a line with the instructions that came from it.
type htmlLine struct {
	*Line
	Code []htmlInsn
}

// htmlInsn is an instruction as the page shows it.
type htmlInsn struct {
	Program, Text, Note string
	*Slot
	Ways Count
}

type htmlFile struct {
	*File
	Rows []htmlLine
}

type htmlProgram struct {
	*Program
	Rows []htmlInsn
}

// WriteHTML writes one page that needs nothing else: no script, no server.
func (r *Report) WriteHTML(w io.Writer, title string) error {
	byLine := map[string]map[int][]htmlInsn{}
	var bare []htmlProgram
	for i := range r.Programs {
		p := &r.Programs[i]
		var rows []htmlInsn
		for j := range p.Slots {
			s := &p.Slots[j]
			row := htmlInsn{Program: p.Name, Text: p.text(s), Note: s.missed(), Slot: s}
			if s.Branch != nil {
				row.Ways = s.Branch.Count()
			}
			rows = append(rows, row)
			if byLine[s.File] == nil {
				byLine[s.File] = map[int][]htmlInsn{}
			}
			byLine[s.File][s.Line] = append(byLine[s.File][s.Line], row)
		}
		if p.bare() {
			bare = append(bare, htmlProgram{p, rows})
		}
	}
	var files []htmlFile
	for i := range r.Files {
		f := htmlFile{File: &r.Files[i]}
		for j := range f.Lines {
			l := &f.Lines[j]
			f.Rows = append(f.Rows, htmlLine{l, byLine[f.Name][l.Number]})
		}
		files = append(files, f)
	}
	return page.Execute(w, map[string]any{"Title": title, "Report": r, "Files": files, "Bare": bare})
}
