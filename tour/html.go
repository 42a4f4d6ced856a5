package tour

import (
	"html/template"
	"io"
	"strings"
)

// page is the whole tour as one file: no scripts, no links to anywhere else.
var page = template.Must(template.New("tour").Funcs(template.FuncMap{
	"head":  func(s string) string { return strings.TrimPrefix(s, ">") },
	"right": func(b Block, i int) bool { return i < len(b.Head) && strings.HasPrefix(b.Head[i], ">") },
	"join":  strings.Join,
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The life of {{.Program}}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --mark: #0b62c4; }
@media (prefers-color-scheme: dark) { :root { --mark: #7db7ff; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin: 0; }
section { border-top: 1px solid var(--line); padding: 1.2rem 0; }
.way { font: 13px/1.6 ui-monospace, monospace; color: var(--mark); margin: .2rem 0 .8rem; }
pre, td, th { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .7rem .9rem; overflow-x: auto; border-radius: 4px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .1rem .9rem .1rem 0; text-align: left; white-space: nowrap; }
th { border-bottom: 1px solid var(--line); font-weight: 600; }
.r { text-align: right; } .note { border-left: 3px solid #d08000; padding-left: .8rem; }
nav a { margin-right: .8rem; white-space: nowrap; }
@media print { body { max-width: none; } section { break-inside: avoid; } nav { display: none; } }
</style>
</head>
<body>
<h1>The life of {{.Program}}</h1>
<p>From <code>{{.Object}}</code>, section <code>{{.Section}}</code>: what really happened to this program, with the kernel's functions as signposts.</p>
<nav>{{range .Stops}}<a href="#stop{{.Number}}">{{.Number}} {{.Title}}</a> {{end}}</nav>
{{range .Stops}}
<section id="stop{{.Number}}">
<h2>{{.Number}} {{.Title}}</h2>
{{with .Kernel}}<p class="way">{{join . " → "}}</p>{{end}}
{{range $b := .Blocks}}{{if eq .Kind "text"}}<p>{{.Text}}</p>
{{else if eq .Kind "note"}}<p class="note">{{.Text}}</p>
{{else if eq .Kind "code"}}<pre>{{join .Lines "\n"}}</pre>
{{else}}<div class="wide"><table>
<tr>{{range $i, $h := .Head}}<th{{if right $b $i}} class="r"{{end}}>{{head $h}}</th>{{end}}</tr>
{{range .Rows}}<tr>{{range $i, $c := .}}<td{{if right $b $i}} class="r"{{end}}>{{$c}}</td>{{end}}</tr>
{{end}}</table></div>
{{end}}{{end}}</section>
{{end}}
</body>
</html>
`))

// WriteHTML writes the tour as one self-contained page.
func (t *Tour) WriteHTML(w io.Writer) error { return page.Execute(w, t) }
