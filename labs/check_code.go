package labs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/unittest"
	"bpfvm/verifier"
	"bpfvm/vm"
)

// source is an assembled source of the student.
type source struct {
	name string
	unit *isa.Unit
	coll *spec.CollectionSpec
}

// assemble reads a source; what is wrong with its text is a finding.
func (c *checking) assemble(name string) (*source, *finding, error) {
	text, err := c.file(name)
	if err != nil {
		return nil, nil, err
	}
	return assembleText(name, text)
}

func assembleText(name string, text []byte) (*source, *finding, error) {
	s := &source{name: name}
	var err error
	if s.unit, err = unittest.AssembleUnit(name, text); err == nil {
		var b []byte
		if b, err = elf.Write(s.unit); err == nil {
			s.coll, err = elf.LoadReader(bytes.NewReader(b), int64(len(b)), elf.Options{Name: name})
		}
	}
	if err == nil && len(s.coll.Programs) == 0 {
		err = errors.New("it holds no program")
	}
	if err != nil {
		return nil, &finding{want: "a program that can be assembled", got: firstLine(err.Error()), again: "bpfvm asm " + name + " --list"}, nil
	}
	return s, nil, nil
}

func firstLine(s string) string {
	l, _, more := strings.Cut(s, "\n")
	if more {
		l += " (and more)"
	}
	return l
}

// place is a slot of a program with the student's line of it.
func (s *source) place(p *spec.ProgramSpec, pc isa.PC) string {
	pr := isa.Printer{HelperName: spec.HelperName}
	text := fmt.Sprintf("insn %d: %s", pc, pr.Insn(p.Insns, pc))
	for i := range s.unit.Sections {
		sec := &s.unit.Sections[i]
		for _, f := range sec.Funcs {
			if f.Name == p.Name && int(f.PC+pc) < len(sec.Lines) {
				return fmt.Sprintf("%s:%d, %s", s.name, sec.Lines[f.PC+pc], text)
			}
		}
	}
	return text
}

func (c *checking) verify(args []string) (*finding, error) {
	s, f, err := c.assemble(args[0])
	if s == nil {
		return f, err
	}
	want := strings.Join(args[1:], " ")
	for _, p := range s.coll.Programs {
		rep, err := verifier.Verify(p, verifier.Options{Maps: s.coll.Maps, BTF: s.coll.BTF, NoFacts: true})
		if err != nil {
			return nil, err
		}
		got := rep.Verdict.String()
		ok := got == args[1] && (len(args) < 3 || string(rep.Code) == args[2])
		if ok {
			continue
		}
		f := &finding{want: want, got: got, again: "bpfvm verify " + args[0]}
		if rep.Verdict == verifier.Rejected {
			f.got = fmt.Sprintf("rejected %s: %s", rep.Code, rep.Message)
			if rep.PC >= 0 {
				f.where = s.place(p, rep.PC)
			}
		}
		return f, nil
	}
	return nil, nil
}

// outcome is what one packet came to.
type outcome struct {
	ret  string // "XDP_DROP", or the number
	trap string
	path []isa.PC
	prog *spec.ProgramSpec
}

// budget ends programs of students that loop.
const budget = 1_000_000

// runPackets runs the first program of the source on each packet, on the step engine.
func (s *source) runPackets(packets [][]byte) ([]outcome, *finding, error) {
	rec := &recorder{}
	rt, err := runtime.New(runtime.Options{Engine: rec, Budget: budget})
	if err != nil {
		return nil, nil, err
	}
	defer rt.Close()
	coll, err := rt.Load(s.coll)
	if err != nil {
		return nil, &finding{want: "a program that can be loaded", got: firstLine(err.Error()), again: "bpfvm run " + s.name + " --unverified"}, nil
	}
	p := coll.Programs()[0]
	var out []outcome
	for _, b := range packets {
		var in runtime.Input = &runtime.XDP{Data: bytes.Clone(b)}
		if p.Type() != spec.ProgXDP {
			in = &runtime.SKB{Data: bytes.Clone(b)}
		}
		rec.path = nil
		res, err := p.Run(in)
		if err != nil {
			return nil, nil, err
		}
		o := outcome{path: rec.path, prog: p.Spec()}
		if res.Trap != nil {
			o.trap = res.Trap.Error()
		} else if o.ret = spec.RetName(p.Type(), res.R0); o.ret == "" {
			o.ret = fmt.Sprint(int64(res.R0))
		}
		out = append(out, o)
	}
	return out, nil, nil
}

func (c *checking) run(args []string) (*finding, error) {
	s, f, err := c.assemble(args[0])
	if s == nil {
		return f, err
	}
	words, packets, err := c.packets(args[2])
	if err != nil {
		return nil, err
	}
	wantText, err := c.file(args[4])
	if err != nil {
		return nil, err
	}
	want := plainLines(wantText)
	if len(want) != len(packets) {
		return nil, fmt.Errorf("%s has %d results for %d packets", args[4], len(want), len(packets))
	}
	got, f, err := s.runPackets(packets)
	if f != nil || err != nil {
		return f, err
	}
	for i, o := range got {
		if o.ret == want[i] {
			continue
		}
		f := &finding{
			want:  fmt.Sprintf("%s for packet %d: %s", want[i], i+1, words[i]),
			got:   o.ret,
			again: fmt.Sprintf("bpfvm run %s --unverified --pkt '%s'", args[0], words[i]),
		}
		if o.trap != "" {
			f.got = "a trap: " + o.trap
		}
		if private(args[2]) { // the student is not to see the packet
			f.want, f.again = want[i]+" for a packet that is not in your folder", ""
		}
		f.where = c.parts(s, &o, packets[i])
		return f, nil
	}
	return nil, nil
}

// parts says up to where the run does what that of the solution does.
func (c *checking) parts(s *source, o *outcome, packet []byte) string {
	text, ok := c.e.files["solution/"+s.name]
	if !ok || len(o.path) == 0 {
		return ""
	}
	sol, _, err := assembleText(s.name, text)
	if err != nil || sol == nil {
		return ""
	}
	right, _, err := sol.runPackets([][]byte{packet})
	if err != nil || len(right) == 0 {
		return ""
	}
	ref := right[0]
	n := 0
	for n < len(o.path) && n < len(ref.path) && o.path[n] == ref.path[n] {
		n++
	}
	if n == 0 || n == len(o.path) && n == len(ref.path) {
		return ""
	}
	return "a right program goes another way after " + s.place(o.prog, o.path[n-1])
}

// packets reads packets in words, one a line.
func (c *checking) packets(name string) (words []string, packets [][]byte, err error) {
	text, err := c.file(name)
	if err != nil {
		return nil, nil, err
	}
	words = plainLines(text)
	for _, w := range words {
		b, err := scenario.PacketWords(w)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %q: %w", name, w, err)
		}
		packets = append(packets, b)
	}
	return words, packets, nil
}

// plainLines are the lines that are neither empty nor a comment.
func plainLines(text []byte) []string {
	var out []string
	for l := range strings.Lines(string(text)) {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}

// recorder is the step engine, which writes down the slots of a run.
type recorder struct{ path []isa.PC }

func (*recorder) Name() string { return interp.Step.Name() }

func (r *recorder) Compile(code *vm.Code) (vm.Runner, error) {
	s, err := interp.StepEngine{}.Prepare(code)
	if err != nil {
		return nil, err
	}
	return &recording{s, r}, nil
}

type recording struct {
	*interp.Stepping
	rec *recorder
}

// maxPath bounds what is written down.
const maxPath = 10_000

func (r *recording) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	s := r.Start(m, ctx)
	for {
		if len(r.rec.path) < maxPath {
			r.rec.path = append(r.rec.path, s.PC())
		}
		if done, err := s.Step(); err != nil {
			return vm.Exit{}, err
		} else if done {
			return s.Exit(), nil
		}
	}
}
