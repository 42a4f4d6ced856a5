package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"bpfvm/scenario"
	"bpfvm/tour"

	"github.com/spf13/cobra"
)

func cmdTour() *command {
	return &command{
		name: "tour", args: "FILE[:PROG]", short: "follow one program from its file to its event",
		long: "Tells the life of a program by living it, in fourteen stops: sections, license, maps, " +
			"relocations, the program's type, the load, its first instructions bit by bit, the verifier, " +
			"machine code, the symbol, the event, one firing with every instruction, the run array, and " +
			"what is left behind. Each stop shows what really happened to this program and names the " +
			"kernel's functions that do the same.\n\n" +
			"Without PROG it is the object's first program. --events gives it something to react to: a " +
			"script as of \"bpfvm help events\". On a terminal the tour waits for Enter at each stop; a " +
			"number goes to that stop, q leaves.",
		examples: []example{
			{"bpfvm tour testdata/kmem/kmem_classic.bpf.o --events testdata/kmem/kmem.events", "the classic loader's example"},
			{"bpfvm tour testdata/kmem/kmem_modern.bpf.o:on_alloc --events testdata/kmem/kmem.events --stop 12", "one stop: the firing"},
			{"bpfvm tour testdata/xdp/drop.bpf.o --html drop.html", "one page, to read in a browser"},
		},
		exits: []int{exitInput, exitUnsupported}, seeAlso: []string{"inspect", "disasm", "run", "events"},
		wants: argCount{1, 1}, json: true,
		setup: func(a *app, c *cobra.Command) func([]string) error {
			var f tourFlags
			fs := c.Flags()
			fs.StringVar(&f.events, "events", "", "let the events of the script `FILE` happen")
			fs.IntVar(&f.stop, "stop", 0, "only stop `N`")
			fs.BoolVar(&f.noWait, "no-wait", false, "do not wait at each stop")
			fs.StringVar(&f.html, "html", "", "write the tour as one page to `FILE`")
			a.btfFlag(c)
			a.completeProgram(c)
			return func(args []string) error { return a.tour(args[0], f) }
		},
	}
}

type tourFlags struct {
	events, html string
	stop         int
	noWait       bool
}

// tourDoc is the document of "tour".
type tourDoc struct {
	docHead
	tour.Tour
}

func (a *app) tour(arg string, f tourFlags) error {
	tr, err := a.buildTour(arg, f.events)
	if err != nil {
		return err
	}
	if f.stop != 0 {
		if f.stop < 1 || f.stop > len(tr.Stops) {
			return usageErr("--stop=%d: the stops are 1 to %d", f.stop, len(tr.Stops))
		}
		tr.Stops = tr.Stops[f.stop-1 : f.stop]
	}
	if f.html != "" {
		var b bytes.Buffer
		if err := tr.WriteHTML(&b); err != nil {
			return err
		}
		if err := a.writeFile(f.html, b.Bytes()); err != nil {
			return err
		}
		a.progress("%s: %s", display(f.html), plural(len(tr.Stops), "stop"))
		return nil
	}
	if a.jsonWanted() {
		a.writeJSON(tourDoc{head("tour"), *tr})
		return nil
	}
	st := tour.Style{Head: a.style.head, Name: a.style.name, Dim: a.style.dim, Warn: a.style.warn, ASCII: a.style.ascii, Plain: a.flags.plain}
	a.next = tourNext(arg, f)
	switch {
	case f.stop != 0:
		tr.Stops[0].WriteText(a.out, st)
	case !f.noWait && a.io.OutTTY && a.inTTY():
		return a.walkTour(tr, st)
	default:
		tr.WriteText(a.out, st)
	}
	return nil
}

// tourNext is the command to try after the tour.
func tourNext(arg string, f tourFlags) string {
	if f.events == "" {
		return "bpfvm disasm " + display(arg) + " -S"
	}
	return "bpfvm run " + display(arg) + " --events " + display(f.events)
}

func (a *app) buildTour(arg, events string) (*tour.Tour, error) {
	t := splitTarget(arg)
	b, err := a.readInput(t.path)
	if err != nil {
		return nil, err
	}
	if !isELF(b) && looksLikeText(t.path, b) {
		if b, err = assembleObject(t.path, b); err != nil {
			return nil, err
		}
	}
	in := tour.Input{Name: display(t.path), Object: b, Program: t.prog}
	if in.Target, err = a.targetBTF(); err != nil {
		return nil, err
	}
	if events != "" {
		var script *scenario.Script
		if script, err = a.readScript(events); err != nil {
			return nil, err
		}
		var files fs.FS
		if events != "-" {
			files = os.DirFS(filepath.Dir(events))
		}
		in.Script, in.Files = script, files
	}
	return tour.Build(a.ctx, in)
}

// inTTY reports whether somebody sits at standard input.
func (a *app) inTTY() bool {
	f, ok := a.io.In.(*os.File)
	return ok && isTerminal(f)
}

// walkTour shows one stop after the other and waits in between.
func (a *app) walkTour(tr *tour.Tour, st tour.Style) error {
	in := bufio.NewScanner(a.io.In)
	tr.WriteTitle(a.out, st)
	for i := 0; i < len(tr.Stops); {
		fmt.Fprintln(a.out)
		tr.Stops[i].WriteText(a.out, st)
		i++
		if i == len(tr.Stops) {
			break
		}
		for {
			fmt.Fprintf(a.io.Err, "\n%s ", a.style.dim(fmt.Sprintf("[%d of %d]  Enter: next   number: go there   q: leave", i, len(tr.Stops))))
			if !in.Scan() || a.ctx.Err() != nil {
				return nil
			}
			word := strings.TrimSpace(in.Text())
			if word == "" {
				break
			}
			if word == "q" || word == "quit" {
				return nil
			}
			if n, err := strconv.Atoi(word); err == nil && n >= 1 && n <= len(tr.Stops) {
				i = n - 1
				break
			}
			fmt.Fprintf(a.io.Err, "no stop %s\n", printable(word))
		}
	}
	return nil
}
