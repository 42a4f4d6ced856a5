package cli

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/verifier"

	"github.com/spf13/cobra"
)

func cmdVerify() *command {
	return &command{
		name: "verify", args: "FILE[:PROG]", short: "check programs as the kernel's verifier does, and say why not",
		long: "Follows every path of each program with the rules of Linux " + targetKernel + "'s verifier and gives its " +
			"verdict: accepted, rejected with the kernel's own words, or not modelled, where the program " +
			"uses something that this verifier does not know. A rejection comes with a code that " +
			"\"bpfvm explain\" knows, the C line, the branches that led there, the instructions that " +
			"it depends on and what was known in the registers.\n\n" +
			"--log prints the kernel's log (1: states at branches and the reason, 2: every " +
			"instruction, 4: only the statistics). --cost ranks the C lines by the number of " +
			"instructions that the verifier looked at. FILE may be a directory.",
		examples: []example{
			{"bpfvm verify testdata/xdp/drop.bpf.o", "a program that is refused"},
			{"bpfvm verify testdata/xdp/drop.bpf.o --log=2", "with the whole log"},
			{"bpfvm verify testdata -q", "one line for each program below a directory"},
		},
		exits: []int{exitNegative, exitInput, exitUnsupported}, seeAlso: []string{"explain", "run", "disasm"},
		wants: argCount{1, 1}, json: true, pager: true,
		setup: func(a *app, c *cobra.Command) func([]string) error {
			var f verifyFlags
			fs := c.Flags()
			fs.IntVar(&f.log, "log", 0, "print the kernel's log at `LEVEL` 1, 2 or 4; they add up")
			fs.Lookup("log").NoOptDefVal = "1"
			fs.BoolVar(&f.cost, "cost", false, "rank C lines by instructions processed")
			fs.IntVar(&f.maxInsns, "max-insns", 0, "give up after `N` instructions (the kernel's million)")
			a.btfFlag(c)
			a.completeProgram(c)
			return func(args []string) error {
				if f.log < 0 || f.log > 7 {
					return usageErr("--log=%d: want 1, 2, 4 or a sum of them", f.log)
				}
				if f.maxInsns < 0 {
					return usageErr("--max-insns=%d: want at least 1", f.maxInsns)
				}
				return a.verify(args[0], f)
			}
		},
	}
}

type verifyFlags struct {
	log, maxInsns int
	cost          bool
}

// verifyDoc is the document of "verify".
type verifyDoc struct {
	docHead
	Programs []verified `json:"programs"`
	Refused  []refusal  `json:"refused"`
}

// verified is the verdict on one program.
type verified struct {
	Object    string      `json:"object"`
	Name      string      `json:"name"`
	Section   string      `json:"section"`
	Verdict   string      `json:"verdict"` // accepted, rejected, not_modelled
	Code      string      `json:"code,omitempty"`
	Message   string      `json:"message,omitempty"` // the kernel's words
	Slot      int         `json:"slot"`              // where it was refused, else -1
	Source    *sourceLine `json:"source,omitempty"`
	Slice     []int       `json:"slice,omitempty"`
	Path      []decision  `json:"path,omitempty"`
	Hint      string      `json:"hint,omitempty"`
	Fix       string      `json:"fix,omitempty"`
	Processed int         `json:"processed"`
	States    int         `json:"states"`
	Log       string      `json:"log,omitempty"`
	Cost      []lineCost  `json:"cost,omitempty"`

	report *verifier.Report
	spec   *spec.ProgramSpec
}

// decision is a branch on the way.
type decision struct {
	Slot  int  `json:"slot"`
	Taken bool `json:"taken"`
}

// lineCost is how often the instructions of a C line were looked at.
type lineCost struct {
	Processed int        `json:"processed"`
	Source    sourceLine `json:"source"`
}

func (a *app) verify(arg string, f verifyFlags) error {
	t := splitTarget(arg)
	doc := verifyDoc{docHead: head("verify"), Programs: []verified{}, Refused: []refusal{}}
	err := a.eachObject(t.path, &doc.Refused, func(o *object) error {
		progs, err := o.programs(t.prog)
		if err != nil {
			return err
		}
		for _, p := range progs {
			if err := a.ctx.Err(); err != nil {
				return err
			}
			v, err := verifyProgram(o, p, f)
			if err != nil {
				return err
			}
			doc.Programs = append(doc.Programs, v)
			if !a.jsonWanted() {
				a.writeVerdict(v, f)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
	} else if len(doc.Programs) > 1 {
		a.writeTally(doc.Programs)
	}
	worst := exitOK
	for _, v := range doc.Programs {
		switch {
		case v.Verdict == "rejected":
			worst = exitNegative
			if a.next == "" {
				a.suggest(t.path, "bpfvm explain "+v.Code)
			}
		case v.Verdict == "not_modelled" && worst == exitOK:
			worst = exitUnsupported
		}
	}
	if worst != exitOK {
		return withCode(worst, errAnswered)
	}
	if a.next == "" && !isDir(t.path) {
		a.suggest(t.path, "bpfvm verify "+display(arg)+" --log=2")
	}
	return refusedErr(doc.Refused)
}

func verifyProgram(o *object, p *spec.ProgramSpec, f verifyFlags) (verified, error) {
	r, err := verifier.Verify(p, verifier.Options{
		Maps: o.coll.Maps, BTF: o.coll.BTF, LogLevel: f.log, MaxInsns: f.maxInsns, NoFacts: true,
	})
	if err != nil {
		return verified{}, err
	}
	v := verified{
		Object: display(o.path), Name: p.Name, Section: p.Section, Verdict: r.Verdict.String(), Code: string(r.Code),
		Message: r.Message, Slot: int(r.PC), Hint: r.Hint, Fix: r.Fix, Processed: r.Processed, States: r.TotalStates,
		Log: r.Log, report: r, spec: p,
	}
	if r.Verdict == verifier.Accepted {
		v.Slot = -1
	}
	if r.Line != nil {
		v.Source = &sourceLine{r.Line.File, r.Line.Line, r.Line.Col, r.Line.Text}
	}
	for _, pc := range r.Slice {
		v.Slice = append(v.Slice, int(pc))
	}
	for _, d := range r.Path {
		v.Path = append(v.Path, decision{int(d.PC), d.Taken})
	}
	if f.cost {
		v.Cost = costs(p, r)
	}
	return v, nil
}

// costs adds up the instructions looked at by C line, dearest first.
func costs(p *spec.ProgramSpec, r *verifier.Report) []lineCost {
	type place struct {
		file string
		line int
	}
	at := map[place]int{} // index in out
	var out []lineCost
	for pc, n := range r.ProcessedPerPC {
		l := p.LineAt(isa.PC(pc))
		if l == nil || n == 0 {
			continue
		}
		k := place{l.File, l.Line}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, lineCost{Source: sourceLine{l.File, l.Line, 0, l.Text}})
		}
		out[i].Processed += n
	}
	slices.SortStableFunc(out, func(a, b lineCost) int { return b.Processed - a.Processed })
	return out
}

// writeVerdict prints one program's verdict and, if it is not accepted, why.
func (a *app) writeVerdict(v verified, f verifyFlags) {
	w, s := a.out, a.style
	name := s.name(v.Section + "/" + v.Name)
	if v.Section == v.Name {
		name = s.name(v.Name)
	}
	counted := fmt.Sprintf("%d insns processed", v.Processed)
	switch v.Verdict {
	case "accepted":
		fmt.Fprintf(w, "%s  %s  %s\n", s.good("ACCEPTED"), name, s.dim(counted))
	case "rejected":
		fmt.Fprintf(w, "%s  %s  %s\n", s.bad("REJECTED"), name, s.dim(counted))
	default:
		fmt.Fprintf(w, "%s  %s  %s\n", s.warn("NOT MODELLED"), name, v.report.Feature)
	}
	if v.Verdict == "rejected" {
		a.writeRejection(v)
	}
	for _, c := range v.Cost {
		fmt.Fprintf(w, "%10d  %s:%d  %s\n", c.Processed, c.Source.File, c.Source.Line, s.src(strings.TrimSpace(c.Source.Text)))
	}
	if f.log != 0 {
		fmt.Fprint(w, v.Log)
	}
}

// writeRejection tells the reason from the plain to the exact.
func (a *app) writeRejection(v verified) {
	w, s := a.out, a.style
	title := ""
	if e := verifier.Explain(v.report.Code); e != nil {
		title = e.Title
	}
	fmt.Fprintf(w, "%s %s\n", s.bad("error["+v.Code+"]"), title)
	if l := v.Source; l != nil {
		fmt.Fprintf(w, "  %s:%d  %s\n", l.File, l.Line, s.src(strings.TrimSpace(l.Text)))
	}
	row := func(word, text string) {
		for i, line := range strings.Split(text, "\n") {
			if i > 0 {
				word = ""
			}
			fmt.Fprintf(w, "%s %s\n", s.dim(fmt.Sprintf("%-6s", word)), line)
		}
	}
	if v.Slot >= 0 {
		row("insn", fmt.Sprintf("%d: %s", v.Slot, linkedPrinter(v.spec, false).Insn(v.spec.Insns, isa.PC(v.Slot))))
	}
	if len(v.Path) > 0 {
		row("path", pathText(v.Path, v.Slot))
	}
	if len(v.Slice) > 0 {
		row("slice", "insns "+strings.Trim(fmt.Sprint(v.Slice), "[]"))
	}
	if st := v.report.State; st != nil {
		row("state", flow(stateText(st)))
	}
	if v.Fix != "" {
		row("fix", flow(v.Fix))
	} else if v.Hint != "" {
		row("hint", flow(v.Hint))
	}
	row("kernel", v.Message)
}

// pathText names the last branches before the end.
func pathText(path []decision, slot int) string {
	const shown = 8
	var parts []string
	if len(path) > shown {
		parts = append(parts, fmt.Sprintf("(%d earlier)", len(path)-shown))
		path = path[len(path)-shown:]
	}
	for _, d := range path {
		word := "not taken"
		if d.Taken {
			word = "taken"
		}
		parts = append(parts, fmt.Sprintf("%d %s", d.Slot, word))
	}
	return flow(strings.Join(append(parts, fmt.Sprintf("%d fails", slot)), " -> "))
}

// stateText prints the registers of the current frame as the verifier's log does.
func stateText(st *verifier.State) string {
	var parts []string
	regs := st.Frames[len(st.Frames)-1].Regs
	for i := range regs {
		if t := regs[i].String(); regs[i].Type != verifier.NotInit && t != "" {
			parts = append(parts, fmt.Sprintf("R%d=%s", i, t))
		}
	}
	return strings.Join(parts, " ")
}

// flow wraps text beside a row's word.
func flow(text string) string { return strings.TrimRight(wrap(text, 72, ""), "\n") }

// writeTally sums up several programs.
func (a *app) writeTally(list []verified) {
	n := map[string]int{}
	for _, v := range list {
		n[v.Verdict]++
	}
	fmt.Fprintf(a.out, "\n%s: %d accepted, %d rejected, %d not modelled\n",
		plural(len(list), "program"), n["accepted"], n["rejected"], n["not_modelled"])
}
