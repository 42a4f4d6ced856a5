package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"bpfvm/scenario"
)

// write prints the run: a line for each program that ran, then what is left.
func (r *running) write() {
	r.writeRuns()
	r.writeFaults()
	r.writeMaps()
	r.writeTrace()
	r.writeRecords()
	r.writeExpectations()
	for _, w := range r.doc.Warning {
		r.a.warn("%s", w)
	}
	s := r.doc.Summary
	line := fmt.Sprintf("%s, %s", plural(s.Events, "event"), plural(s.Runs, "run"))
	if r.f.engine != "kernel" {
		line += ", " + plural(int(s.Insns), "instruction")
	}
	if s.Trapped > 0 {
		line += fmt.Sprintf(", %d faulted", s.Trapped)
	}
	fmt.Fprintf(r.a.out, "\n%s\n", r.a.style.dim(line))
}

// runRow is a run cut into columns.
type runRow struct {
	size, what     string // packets: "42B", "eth/arp"
	at, task, cpu  string // events
	prog, r0, ret  string
	insns, outcome string
	details        [][2]string // name and change of packet fields, notes
	fault          bool
}

// rows cuts the runs into columns.
func (r *running) rows() []runRow {
	runs := r.doc.Runs
	showProg, showCPU := false, false
	byIndex := map[int]string{}
	for _, run := range runs {
		if p, ok := byIndex[run.Index]; ok && p != run.Program {
			showProg = true
		}
		if run.Packet != nil && run.Program != runs[0].Program {
			showProg = true
		}
		byIndex[run.Index] = run.Program
		showCPU = showCPU || run.CPU != 0
	}
	rows := make([]runRow, len(runs))
	for i, run := range runs {
		row := runRow{}
		if r.f.engine != "kernel" { // which does not count them
			row.insns = fmt.Sprintf("%d insns", run.Insns)
		}
		if run.Packet != nil {
			summary, note, _ := strings.Cut(run.Packet.Summary(), " (")
			row.size, row.what, _ = strings.Cut(summary, " ")
			if note != "" {
				row.details = append(row.details, [2]string{"note", strings.TrimSuffix(note, ")")})
			}
			row.packet(run.Packet, r.a.style)
		} else if row.what = run.Event; run.Pos.Line > 0 { // of a script
			row.at = relative(run.Time - r.start)
			row.task = fmt.Sprintf("%s[%d]", printable(run.Comm), run.PID)
			if showCPU {
				row.cpu = fmt.Sprintf("cpu%d", run.CPU)
			}
		}
		if showProg {
			row.prog = run.Program
		}
		if run.Trap != nil {
			row.fault, row.r0, row.ret, row.outcome = true, "FAULT", run.Trap.Kind, ""
		} else {
			row.r0 = "r0=" + r0Text(run.R0)
		}
		if run.Trap == nil && run.Packet != nil { // verdicts; probes only say yes or no
			row.ret = run.Ret
		}
		if run.Redirect != nil {
			row.details = append(row.details, [2]string{"redirect", run.Redirect.String()})
		}
		for _, e := range run.Effects {
			row.details = append(row.details, [2]string{"effect", e})
		}
		for _, c := range run.Context {
			row.details = append(row.details, [2]string{c.Field, fmt.Sprintf("%s %s %s", c.Before, r.a.style.arrow(), c.After)})
		}
		if run.Answer != nil {
			row.details = append(row.details, [2]string{"hook", run.Answer.Text})
		}
		if run.Output != "" {
			row.details = append(row.details, outputDetails(run.Output)...)
		}
		for _, c := range run.Maps {
			name, text := r.changeText(c)
			row.details = append(row.details, [2]string{name, text})
		}
		rows[i] = row
	}
	return rows
}

// maxOutputLines bounds the lines of one iterator's step that are shown.
const maxOutputLines = 20

// outputDetails are the lines that a program wrote for its hook.
func outputDetails(text string) [][2]string {
	var out [][2]string
	for line := range strings.Lines(text) {
		if len(out) == maxOutputLines {
			return append(out, [2]string{"output", "..."})
		}
		out = append(out, [2]string{"output", printable(strings.TrimRight(line, "\n"))})
	}
	return out
}

// packet tells what happened to the packet.
func (row *runRow) packet(p *scenario.PacketResult, s style) {
	if !p.Changed() {
		row.outcome = "packet unchanged"
		return
	}
	row.outcome = "packet changed"
	d := p.Diff()
	if d.Before != d.After {
		row.details = append(row.details, [2]string{"size", fmt.Sprintf("%d %s %d bytes", d.Before, s.arrow(), d.After)})
	}
	for _, h := range d.Removed {
		row.details = append(row.details, [2]string{h, "removed"})
	}
	for _, h := range d.Added {
		row.details = append(row.details, [2]string{h, "added"})
	}
	for _, f := range d.Fields {
		text := fmt.Sprintf("%s %s %s", f.Before, s.arrow(), f.After)
		if f.Before == f.After {
			text = "changed"
		}
		row.details = append(row.details, [2]string{f.Name, text})
	}
	if len(d.Fields) == 0 && len(d.Removed)+len(d.Added) == 0 {
		for _, b := range d.Ranges {
			row.details = append(row.details, [2]string{"bytes", fmt.Sprintf("%d..%d changed", b.Off, b.Off+b.Len-1)})
		}
	}
}

// relative prints the time since the start.
func relative(d time.Duration) string {
	if d < 100*time.Second {
		return fmt.Sprintf("%d.%03dms", d/time.Millisecond, d%time.Millisecond/time.Microsecond)
	}
	return fmt.Sprintf("%d.%03ds", d/time.Second, d%time.Second/time.Millisecond)
}

// writeRuns prints the runs in columns.
func (r *running) writeRuns() {
	rows := r.rows()
	cells := func(row *runRow) []string {
		return []string{row.size, row.at, row.task, row.cpu, row.what, row.prog, row.r0, row.ret, row.insns}
	}
	right := []bool{true, true, false, false, false, false, false, false, true}
	var width [9]int
	for i := range rows {
		for j, c := range cells(&rows[i]) {
			width[j] = max(width[j], utf8.RuneCountInString(c))
		}
	}
	s, w := r.a.style, r.a.out
	digits := 1
	if n := len(r.doc.Runs); n > 0 {
		digits = len(fmt.Sprint(r.doc.Runs[n-1].Index))
	}
	last := 0
	for i := range rows {
		row := &rows[i]
		index := r.doc.Runs[i].Index
		number := fmt.Sprintf("#%-*d", digits, index)
		if index == last {
			number = strings.Repeat(" ", digits+1)
		}
		last = index
		if r.a.flags.plain {
			r.writePlainRun(index, row)
			continue
		}
		var b strings.Builder
		b.WriteString(s.dim(number))
		for j, c := range cells(row) {
			if width[j] == 0 {
				continue
			}
			pad := strings.Repeat(" ", width[j]-utf8.RuneCountInString(c))
			b.WriteByte(' ')
			if right[j] {
				b.WriteString(pad)
			}
			b.WriteString(paintCell(s, row, j, c))
			if !right[j] {
				b.WriteString(pad)
			}
		}
		switch row.outcome {
		case "packet unchanged":
			b.WriteString("  " + s.dim(row.outcome))
		case "packet changed":
			b.WriteString("  " + s.warn(row.outcome))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
		writeDetails(w, s, row.details, digits+4)
	}
}

// paintCell colours one column.
func paintCell(s style, row *runRow, col int, text string) string {
	switch col {
	case 1, 8:
		return s.dim(text)
	case 4, 5:
		return s.name(text)
	case 6, 7:
		if row.fault {
			return s.bad(text)
		}
		return s.good(text)
	}
	return text
}

// writeDetails prints names and texts in two columns.
func writeDetails(w io.Writer, s style, details [][2]string, indent int) {
	width := 0
	for _, d := range details {
		width = max(width, utf8.RuneCountInString(d[0]))
	}
	for _, d := range details {
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(d[0]))
		fmt.Fprintf(w, "%*s%s%s  %s\n", indent, "", d[0], pad, s.warn(d[1]))
	}
}

// writePlainRun prints one fact a line.
func (r *running) writePlainRun(index int, row *runRow) {
	w := r.a.out
	fmt.Fprintf(w, "event %d %s\n", index, strings.TrimSpace(row.size+" "+row.what))
	for _, f := range [][2]string{{"time", row.at}, {"task", row.task}, {"cpu", row.cpu}, {"program", row.prog},
		{"result", strings.TrimSpace(row.r0 + " " + row.ret)}, {"executed", row.insns}, {"outcome", row.outcome}} {
		if f[1] != "" {
			fmt.Fprintf(w, "  %s %s\n", f[0], f[1])
		}
	}
	for _, d := range row.details {
		fmt.Fprintf(w, "  %s %s\n", d[0], d[1])
	}
}

// title begins a part of the output.
func (r *running) title(text, note string) {
	if note != "" {
		note = "  " + r.a.style.dim(note)
	}
	fmt.Fprintf(r.a.out, "\n%s%s\n", r.a.style.head(text), note)
}

// writeTrace prints what bpf_trace_printk wrote.
func (r *running) writeTrace() {
	n := 0
	for _, run := range r.doc.Runs {
		n += len(run.Trace)
	}
	if n == 0 {
		return
	}
	r.title("trace_pipe", plural(n, "line"))
	for _, run := range r.doc.Runs {
		for i, l := range run.Raw.Trace {
			if r.a.flags.verbose {
				fmt.Fprintln(r.a.out, printable(run.Trace[i]))
				continue
			}
			fmt.Fprintf(r.a.out, "  %s %s\n", r.a.style.dim(fmt.Sprintf("#%-3d", run.Index)), printable(l.Msg))
		}
	}
}

// writeRecords prints what went to user space, map by map.
func (r *running) writeRecords() {
	var names []string
	count := map[string]int{}
	for _, run := range r.doc.Runs {
		for _, rec := range run.Records {
			if count[rec.Map] == 0 {
				names = append(names, rec.Map)
			}
			count[rec.Map]++
		}
	}
	for _, name := range names {
		kind := ""
		if m := r.o.coll.Map(name); m != nil {
			kind = m.Type.String() + ", "
		}
		r.title(name, kind+plural(count[name], "record")+r.recordType(name))
		for _, run := range r.doc.Runs {
			for _, rec := range run.Records {
				if rec.Map == name {
					r.writeRecord(run.Index, rec)
				}
			}
		}
	}
}

// recordType is the type of a map's records, for the title; empty where they have
// none or several.
func (r *running) recordType(name string) string {
	typ := ""
	for _, run := range r.doc.Runs {
		for i := range run.Records {
			rec := &run.Records[i]
			if rec.Map != name {
				continue
			}
			t, _, ok := rec.Typed()
			if !ok || typ != "" && typ != t {
				return ""
			}
			typ = t
		}
	}
	if typ == "" {
		return ""
	}
	return " of " + typ
}

// recordShown is how many bytes of a record are printed without -v.
const recordShown = 64

func (r *running) writeRecord(index int, rec scenario.Record) {
	s := r.a.style
	if text := rec.Text(); text != "" {
		fmt.Fprintf(r.a.out, "  %s %s\n", s.dim(fmt.Sprintf("#%-3d %3dB", index, len(rec.Data))), printable(text))
		return
	}
	data := rec.Data
	if !r.a.flags.verbose {
		data = data[:min(len(data), recordShown)]
	}
	var b strings.Builder
	hexdump(&b, data, 0)
	label := fmt.Sprintf("#%-3d %3dB", index, len(rec.Data))
	for l := range strings.SplitSeq(strings.TrimRight(b.String(), "\n"), "\n") {
		_, l, _ = strings.Cut(l, " ")
		fmt.Fprintf(r.a.out, "  %s %s\n", s.dim(label), strings.TrimLeft(l, " "))
		label = strings.Repeat(" ", len(label))
	}
	if len(data) < len(rec.Data) {
		fmt.Fprintf(r.a.out, "  %s %s\n", label, s.dim(fmt.Sprintf("%s %d more bytes (-v)", s.ellipsis(), len(rec.Data)-len(data))))
	}
}

// writeExpectations prints what was expected and not met.
func (r *running) writeExpectations() {
	d := r.doc
	if len(d.Expect) == 0 {
		return
	}
	met := len(d.Expect) - d.Summary.Missed
	r.title("expectations", fmt.Sprintf("%d of %d met", met, len(d.Expect)))
	s := r.a.style
	for _, e := range d.Expect {
		if e.OK {
			fmt.Fprintf(r.a.out, "  %s   %s\n", s.good("ok"), e.Text)
			continue
		}
		fmt.Fprintf(r.a.out, "  %s %s\n       expected  %s\n       got       %s\n", s.bad("FAIL"), e.Text, e.Want, printable(e.Got))
	}
}
