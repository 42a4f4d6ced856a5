package cli

import (
	"fmt"
	"strings"
	"time"

	"bpfvm/kernel"
)

// kernelAttached is a program that was to be attached.
type kernelAttached struct {
	Name    string `json:"name"`
	Section string `json:"section"`
	Verdict string `json:"verdict"`
	At      string `json:"at,omitempty"`     // where it was attached
	Reason  string `json:"reason,omitempty"` // why it was not
	Note    string `json:"note,omitempty"`
	Runs    uint64 `json:"run_cnt"`
	TimeNS  int64  `json:"run_time_ns"`
	Misses  uint64 `json:"recursion_misses"`
}

// kernelRecord is a record that programs sent.
type kernelRecord struct {
	Map  string `json:"map"`
	CPU  int    `json:"cpu"`
	Data string `json:"data"`
}

// kernelMap is the content of a map.
type kernelMap struct {
	Name    string        `json:"name"`
	Type    string        `json:"type"`
	Errno   string        `json:"errno,omitempty"`
	Entries []kernelEntry `json:"entries"`
}

// kernelEntry is an element in hex; per-CPU maps have a value for each CPU.
type kernelEntry struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// kernelAttach attaches the programs of an object to the kernel's events, has the
// worker trigger them, and shows what they did.
func (a *app) kernelAttach(k *kernel.Kernel, arg string, f kernelFlags) error {
	t := splitTarget(arg)
	o, err := a.open(t.path)
	if err != nil {
		return err
	}
	progs, err := o.programs(t.prog)
	if err != nil {
		return err
	}
	doc := kernelDoc{docHead: head("kernel"), What: "attach", Attached: []kernelAttached{}}
	var names []string
	for _, p := range progs {
		if err := kernel.CanAttach(p); err != nil {
			doc.Attached = append(doc.Attached, kernelAttached{Name: p.Name, Section: p.Section, Verdict: "not_tried", Reason: err.Error()})
			continue
		}
		names = append(names, p.Name)
	}
	var out *kernel.AttachOutcome
	if len(names) > 0 {
		out, err = k.Attach(a.ctx, kernel.Job{Spec: o.coll, Log: kernel.LogInsns}, names, kernel.AttachOptions{Rounds: f.repeat, AllTasks: f.allTasks})
		if err != nil {
			return err
		}
		doc.addAttached(out)
	}
	if st, err := k.Status(a.ctx); err == nil {
		doc.Release = st.Release
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
	} else {
		a.writeAttached(&doc, out, f)
	}
	worst := exitOK
	for _, p := range doc.Attached {
		switch {
		case p.Verdict == "rejected":
			return withCode(exitNegative, errAnswered)
		case p.At == "":
			worst = exitUnsupported
		}
	}
	if worst != exitOK {
		return withCode(worst, errAnswered)
	}
	return nil
}

// addAttached puts what came of an attachment into the document.
func (doc *kernelDoc) addAttached(out *kernel.AttachOutcome) {
	for _, p := range out.Programs {
		doc.Attached = append(doc.Attached, kernelAttached{
			Name: p.Program, Section: p.Section, Verdict: strings.ReplaceAll(p.Load.Verdict.String(), " ", "_"),
			At: p.At, Reason: p.Reason, Note: p.Note, Runs: p.Runs, TimeNS: p.Time.Nanoseconds(), Misses: p.Misses,
		})
	}
	for _, r := range out.Records {
		doc.Records = append(doc.Records, kernelRecord{r.Map, r.CPU, fmt.Sprintf("%x", r.Data)})
	}
	doc.Trace = out.Trace
	for _, m := range out.Maps {
		doc.Maps = append(doc.Maps, newKernelMap(m))
	}
}

func newKernelMap(m kernel.MapDump) kernelMap {
	row := kernelMap{Name: m.Name, Type: m.Spec.Type.String(), Entries: []kernelEntry{}}
	if m.Errno != 0 {
		row.Errno = m.Errno.Error()
	}
	for _, e := range m.Entries {
		entry := kernelEntry{Key: fmt.Sprintf("%x", e.Key)}
		for _, v := range e.Values {
			entry.Values = append(entry.Values, fmt.Sprintf("%x", v))
		}
		row.Entries = append(row.Entries, entry)
	}
	return row
}

// maxShown bounds the lines of a list on the terminal.
const maxShown = 16

func (a *app) writeAttached(doc *kernelDoc, out *kernel.AttachOutcome, f kernelFlags) {
	s := a.style
	for _, p := range doc.Attached {
		if p.At == "" {
			fmt.Fprintf(a.out, "%s  %s %s: %s\n", s.name(p.Name), p.Section, s.bad("not attached"), p.Reason)
			continue
		}
		fmt.Fprintf(a.out, "%s  %s  ran %d times, %s", s.name(p.Name), p.At, p.Runs, time.Duration(p.TimeNS))
		if p.Misses > 0 {
			fmt.Fprintf(a.out, ", %d left out", p.Misses)
		}
		fmt.Fprintln(a.out)
		if p.Note != "" {
			fmt.Fprintf(a.out, "  note: %s\n", p.Note)
		}
	}
	if out == nil {
		return
	}
	who := "bpfvm's own thread; events of others leave the program after six instructions"
	if f.allTasks {
		who = "every thread of the machine"
	}
	fmt.Fprintf(a.out, "seen: %s\ntrigger: %s of %s\n", who, plural(f.repeat, "round"), strings.Join(out.Did, ", "))
	shown := func(n int, line func(int)) {
		for i := range min(n, maxShown) {
			line(i)
		}
		if n > maxShown {
			fmt.Fprintf(a.out, "  ... and %d more\n", n-maxShown)
		}
	}
	shown(len(doc.Trace), func(i int) { fmt.Fprintf(a.out, "trace  %s\n", doc.Trace[i]) })
	shown(len(doc.Records), func(i int) { fmt.Fprintf(a.out, "record %s %s\n", doc.Records[i].Map, doc.Records[i].Data) })
	for _, m := range doc.Maps {
		a.writeKernelMap(m)
	}
}

// writeKernelMap writes the content of a map, of arrays what is not zero.
func (a *app) writeKernelMap(m kernelMap) {
	fmt.Fprintf(a.out, "map %s %s", a.style.name(m.Name), m.Type)
	if m.Errno != "" {
		fmt.Fprintf(a.out, ": cannot be read: %s", m.Errno)
	}
	fmt.Fprintln(a.out)
	zeros, n := 0, 0
	for _, e := range m.Entries {
		if strings.Trim(strings.Join(e.Values, ""), "0") == "" && strings.Contains(m.Type, "array") {
			zeros++
			continue
		}
		if n++; n <= maxShown {
			fmt.Fprintf(a.out, "  %s: %s\n", e.Key, strings.Join(e.Values, " "))
		}
	}
	if n > maxShown {
		fmt.Fprintf(a.out, "  ... and %d more\n", n-maxShown)
	}
	if zeros > 0 {
		fmt.Fprintf(a.out, "  %d of zeros\n", zeros)
	}
}
