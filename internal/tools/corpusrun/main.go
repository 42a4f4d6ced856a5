// Command corpusrun runs the programs of many objects, each once, on an event made
// up for its type, in the checked interpreter, and counts how they ended:
//
//	go run ./internal/tools/corpusrun [-v] [-only TYPE] [-budget N] DIR..
//
// A program exits, traps (the checked interpreter stopped it: what no verified
// program does, unless the event is not one that the program can meet), or is
// refused, by the name of what is missing. Objects with the same bytes count once.
// Programs that the kernel's own tests mark as ones that must not load
// (test_expect_failure) are counted by themselves: nothing can be said of what they
// do.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/cilium/ebpf/btf"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/types"
	"bpfvm/vm"
)

func main() {
	var t tally
	flag.BoolVar(&t.verbose, "v", false, "name each program that does not exit")
	flag.StringVar(&t.only, "only", "", "programs of this type only")
	flag.Uint64Var(&t.budget, "budget", 1_000_000, "instructions that a run may execute")
	flag.Parse()
	t.out, t.seen, t.types = os.Stdout, map[[sha256.Size]byte]bool{}, map[string]*typeCount{}
	for _, dir := range flag.Args() {
		if err := filepath.WalkDir(dir, t.visit); err != nil {
			fmt.Fprintln(os.Stderr, "corpusrun:", err)
			os.Exit(1)
		}
	}
	t.print()
}

// tally counts what became of all programs.
type tally struct {
	out     io.Writer
	verbose bool
	only    string
	budget  uint64

	seen                     map[[sha256.Size]byte]bool
	objects, doubles, broken int
	types                    map[string]*typeCount
}

// typeCount counts the programs of one type.
type typeCount struct {
	programs, exits  int
	wrong            int // on purpose
	trapped, refused map[string]int
}

// machineBPF is the start of an ELF file for EM_BPF, little-endian, up to e_machine.
var machineBPF = regexp.MustCompile(`^\x7fELF\x02\x01.{12}(?s:..)`)

// isObject looks at e_ident and e_machine (247).
func isObject(b []byte) bool {
	return len(b) > 64 && machineBPF.Match(b[:20]) && bytes.Equal(b[18:20], []byte{247, 0})
}

func (t *tally) visit(path string, d fs.DirEntry, err error) error {
	if err != nil || !d.Type().IsRegular() {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !isObject(b) {
		return nil
	}
	sum := sha256.Sum256(b)
	if t.seen[sum] {
		t.doubles++
		return nil
	}
	t.seen[sum] = true
	t.objects++
	cs, err := elf.LoadReader(bytes.NewReader(b), int64(len(b)), elf.Options{Name: elf.BaseName(path)})
	if cs == nil {
		t.broken++
		t.say("%s: %v", path, err)
		return nil
	}
	for _, m := range cs.Maps {
		switch m.Type {
		case spec.MapHash, spec.MapArray, spec.MapLRUHash, spec.MapPerCPUHash, spec.MapPerCPUArray, spec.MapLRUPerCPUHash,
			spec.MapDevmap, spec.MapDevmapHash, spec.MapCPUMap, spec.MapRingBuf, spec.MapStackTrace, spec.MapBloomFilter:
			if m.MaxEntries == 0 { // the program's own loader says how many
				m.MaxEntries = 4096
			}
		}
	}
	return t.object(path, cs)
}

// object runs the programs of one object, each in a kernel of its own.
func (t *tally) object(path string, cs *spec.CollectionSpec) error {
	wrong := wrongOnPurpose(cs)
	for _, p := range cs.Programs {
		if t.only != "" && p.Type.String() != t.only {
			continue
		}
		c := t.types[p.Type.String()]
		if c == nil {
			c = &typeCount{trapped: map[string]int{}, refused: map[string]int{}}
			t.types[p.Type.String()] = c
		}
		c.programs++
		if wrong[p.Name] {
			c.wrong++
			continue
		}
		res, err := t.run(cs, p)
		switch {
		case err != nil:
			for _, r := range reasons(err) {
				c.refused[r]++
			}
			t.say("%s:%s (%s) refused: %v", path, p.Name, p.Section, err)
		case res.Trap != nil:
			c.trapped[trapReason(res.Trap)]++
			t.say("%s:%s (%s) trapped after %d: %v", path, p.Name, p.Section, res.Insns, res.Trap)
		default:
			c.exits++
		}
	}
	return nil
}

// wrongOnPurpose are the functions that tests mark so, by declaration tags in BTF.
func wrongOnPurpose(cs *spec.CollectionSpec) map[string]bool {
	out := map[string]bool{}
	if cs.BTF == nil {
		return out
	}
	own, err := types.Load(cs.BTF)
	if err != nil {
		return out
	}
	for typ, err := range own.All() {
		if err != nil {
			break
		}
		if fn, ok := typ.(*btf.Func); ok && slices.Contains(fn.Tags, "comment:test_expect_failure") {
			out[fn.Name] = true
		}
	}
	return out
}

func (t *tally) say(format string, args ...any) {
	if t.verbose {
		fmt.Fprintf(t.out, format+"\n", args...)
	}
}

// run runs one program once.
func (t *tally) run(cs *spec.CollectionSpec, p *spec.ProgramSpec) (res runtime.Result, err error) {
	rt, err := runtime.New(runtime.Options{Engine: interp.Step, MemCap: 1 << 30, Budget: t.budget})
	if err != nil {
		return res, err
	}
	defer rt.Close()
	rt.SetTask(runtime.Task{PID: 42, TGID: 42, UID: 1000, GID: 1000, Comm: "bash", ParentPID: 1})
	rt.Clock = runtime.Clock{Now: 1e9, Step: 1000}
	coll, err := rt.LoadWith(cs, runtime.LoadOptions{Programs: []string{p.Name}, SkipBroken: true})
	if err != nil {
		return res, err
	}
	prog := coll.Program(p.Name)
	if prog == nil {
		return res, coll.Skipped[p.Name]
	}
	in, err := scenario.Synthesize(rt, prog)
	if err != nil {
		return res, err
	}
	return prog.Run(in)
}

var (
	digits = regexp.MustCompile(`0x[0-9a-f]+|\b-?[0-9]+\b`)
	quoted = regexp.MustCompile(`"[^"]*"|\([^)]*\)`)
)

// reasons names what is missing, once each.
func reasons(err error) []string {
	var out []string
	for _, e := range leaves(err) {
		r := ""
		if u, ok := errors.AsType[*runtime.UnsupportedError](e); ok {
			r = u.What + " " + u.Name
		} else if p, ok := errors.AsType[*runtime.ProgError](e); ok {
			r = "as the kernel: " + digits.ReplaceAllString(quoted.ReplaceAllString(p.Msg, ".."), "N")
		} else {
			r = digits.ReplaceAllString(quoted.ReplaceAllString(e.Error(), ".."), "N")
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// leaves takes joined errors apart.
func leaves(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, leaves(e)...)
		}
		return out
	}
	return []error{err}
}

// trapReason is a trap's kind and words without numbers.
func trapReason(t *vm.Trap) string {
	return t.Kind.String() + ": " + digits.ReplaceAllString(t.Msg, "N")
}

// print writes the table and the reasons.
func (t *tally) print() {
	fmt.Fprintf(t.out, "%d objects, %d more are copies, %d cannot be read\n\n", t.objects, t.doubles, t.broken)
	fmt.Fprintf(t.out, "%-24s %8s %8s %8s %8s %8s\n", "type", "programs", "exit", "trapped", "refused", "wrong")
	var all typeCount
	all.trapped, all.refused = map[string]int{}, map[string]int{}
	names := slices.SortedFunc(maps.Keys(t.types), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.types[b].programs, t.types[a].programs), cmp.Compare(a, b))
	})
	trapped := 0
	for _, name := range names {
		c := t.types[name]
		n := sum(c.trapped)
		trapped += n
		fmt.Fprintf(t.out, "%-24s %8d %8d %8d %8d %8d\n", name, c.programs, c.exits, n, c.programs-c.wrong-c.exits-n, c.wrong)
		all.programs, all.exits, all.wrong = all.programs+c.programs, all.exits+c.exits, all.wrong+c.wrong
		merge(all.trapped, c.trapped)
		merge(all.refused, c.refused)
	}
	fmt.Fprintf(t.out, "%-24s %8d %8d %8d %8d %8d\n", "all", all.programs, all.exits, trapped, all.programs-all.wrong-all.exits-trapped, all.wrong)
	list(t.out, "trapped", all.trapped)
	list(t.out, "refused (a program may lack several things)", all.refused)
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func merge(to, from map[string]int) {
	for k, v := range from {
		to[k] += v
	}
}

// list prints reasons, the most frequent first.
func list(w io.Writer, title string, m map[string]int) {
	fmt.Fprintf(w, "\n%s\n", title)
	for _, k := range slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(w, "%8d  %s\n", m[k], k)
	}
}
