package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"bpfvm/vm"
)

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errAnswered, 1},
		{fmt.Errorf("stopped after 3 events: %w", context.Canceled), 1},
		{&vm.Trap{Kind: vm.TrapStopped}, 1},
		{usageErr("x"), 2},
		{inputErr("x"), 3},
		{errors.New("not typed: from an input"), 3},
		{os.ErrNotExist, 3},
		{unsupportedErr("x"), 4},
		{fmt.Errorf("a: %w", errors.Join(errors.New("b"), errors.ErrUnsupported)), 4},
		{fmt.Errorf("run: %w", &vm.Trap{Kind: vm.TrapBounds}), 5},
		{withCode(exitPrivilege, unsupportedErr("x")), 6},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit %d, want %d", tt.err, got, tt.want)
		}
	}
}

// TestBug makes a verb panic: that is reported as our fault, without a raw stack.
func TestBug(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{ctx: context.Background(), io: IO{Out: &out, Err: &errs, Env: func(string) (string, bool) { return "", false }}, out: &out}
	func() {
		defer func() {
			a.reportBug(recover(), []byte("goroutine 1\nbpfvm/cmd/bpfvm/internal/cli.boom(...)\n\t/x/y.go:1\n"))
		}()
		panic("boom")
	}()
	for _, want := range []string{"bpfvm bug: boom", "Please report it", "cli.boom"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("no %q in\n%s", want, errs.String())
		}
	}
	if strings.Contains(errs.String(), "goroutine") {
		t.Errorf("a raw stack:\n%s", errs.String())
	}
}

// failingWriter panics, as a bug in the middle of an output would.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { panic("a bug") }

func TestMainRecovers(t *testing.T) {
	var errs bytes.Buffer
	code := Main(context.Background(), []string{"version"}, IO{In: strings.NewReader(""), Out: failingWriter{}, Err: &errs,
		Env: func(string) (string, bool) { return "", false }})
	if code != exitBug || !strings.Contains(errs.String(), "bpfvm bug: a bug") {
		t.Errorf("exit %d\n%s", code, errs.String())
	}
}

// TestHelpPages wants of each verb: a synopsis, three examples, exit codes, others
// to see, and lines that fit a terminal.
func TestHelpPages(t *testing.T) {
	for _, c := range commands() {
		page := mustCall(t, "help", c.name)
		if !strings.Contains(page, "  bpfvm "+c.name) || !strings.Contains(page, "exit codes") || !strings.Contains(page, "see also bpfvm") {
			t.Errorf("%s: something is missing:\n%s", c.name, page)
		}
		if len(c.examples) != 3 {
			t.Errorf("%s has %d examples", c.name, len(c.examples))
		}
		for _, s := range c.seeAlso {
			mustCall(t, "help", s)
		}
		for l := range strings.Lines(page) {
			if utf8.RuneCountInString(strings.TrimRight(l, "\n")) > 80 && !strings.Contains(l, "bpfvm") {
				t.Errorf("%s: too wide: %s", c.name, l)
			}
		}
		if man := mustCall(t, "help", c.name, "--man"); strings.Contains(man, "\n.PP\n\n") || !strings.HasPrefix(man, ".TH ") {
			t.Errorf("%s: bad roff", c.name)
		}
	}
	if n := strings.Count(mustCall(t), "\n"); n > 23 {
		t.Errorf("the overview has %d lines", n)
	}
}

// TestExamplesParse runs the command lines of all help pages as far as their flags.
func TestExamplesParse(t *testing.T) {
	for _, c := range commands() {
		for _, x := range c.examples {
			line := x.line
			if i := strings.LastIndex(line, "| bpfvm"); i >= 0 {
				line = line[i+2:]
			}
			line, _, _ = strings.Cut(line, " | ")
			line, _, _ = strings.Cut(line, " > ")
			line = strings.TrimSuffix(strings.TrimPrefix(line, "source <("), ")")
			words := strings.Fields(strings.NewReplacer("'", "", `"`, "").Replace(line))
			if words[0] != "bpfvm" {
				continue
			}
			a := &app{table: commands()}
			a.io = IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
			root := a.newRoot()
			sub, rest, err := root.Find(words[1:])
			if err != nil {
				t.Errorf("%s: %v", x.line, err)
				continue
			}
			if err := sub.ParseFlags(rest); err != nil {
				t.Errorf("%s: %v", x.line, err)
			}
		}
	}
}

func TestSplitTarget(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd:name.o")
	if err := os.WriteFile(odd, nil, 0o644); err != nil {
		t.Skip("this file system has no colons in names")
	}
	for arg, want := range map[string]target{
		"x.o":               {"x.o", ""},
		"x.o:main":          {"x.o", "main"},
		`C:\dir\x.o`:        {`C:\dir\x.o`, ""},
		`C:\dir\x.o:main`:   {`C:\dir\x.o`, "main"},
		"C:/dir/x.o:main":   {"C:/dir/x.o", "main"},
		"-:main":            {"-", "main"},
		":main":             {":main", ""},
		odd:                 {odd, ""},
		odd + ":main":       {odd, "main"},
		"a:b/c.o":           {"a:b/c.o", ""},
		"dir.d/x.bpf.o:p.q": {"dir.d/x.bpf.o", "p.q"},
	} {
		if got := splitTarget(arg); got != want {
			t.Errorf("%s: %+v, want %+v", arg, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"inspect", "disasm", "asm", "run", "explain", "bpf_map_lookup_elem", "bpf_map_update_elem"}
	for word, want := range map[string][]string{
		"inspct": {"inspect"}, "rnu": {"run"}, "dissasm": {"disasm"}, "map_lookup": {"bpf_map_lookup_elem"},
		"RUN": {"run"}, "zzzzzz": nil, "": nil, strings.Repeat("x", 100): nil,
	} {
		if got := nearest(word, words, 3); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// TestPager holds output back for the pager only when it does not fit.
func TestPager(t *testing.T) {
	for _, tt := range []struct {
		lines int
		tty   bool
		args  []string
		paged bool
	}{
		{10, true, []string{"help", "run"}, true},
		{500, true, []string{"help", "run"}, false},
		{10, false, []string{"help", "run"}, false},
		{10, true, []string{"help", "run", "--no-pager"}, false},
		{10, true, []string{"explain", "helpers", "-j"}, false},
	} {
		var out, errs bytes.Buffer
		paged := false
		code := Main(context.Background(), tt.args, IO{
			In: strings.NewReader(""), Out: &out, Err: &errs, OutTTY: tt.tty,
			Env:  func(string) (string, bool) { return "", false },
			Size: func() (int, int) { return 80, tt.lines },
			Page: func([]byte) bool { paged = true; return true },
		})
		if code != 0 || paged != tt.paged || paged == (out.Len() > 0) {
			t.Errorf("%v: exit %d, paged %v, %d bytes printed", tt, code, paged, out.Len())
		}
	}
}

// TestCancelled stops a run before its first event.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	code := Main(ctx, []string{"run", "../../../../testdata/xdp/good.bpf.o", "--pcap", "../../../../testdata/xdp/packets.pcap"},
		IO{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(string) (string, bool) { return "", false }})
	if code != exitNegative || !strings.Contains(errs.String(), "stopped after 0 events") {
		t.Errorf("exit %d\n%s", code, errs.String())
	}
}

// TestHostile gives every reading verb inputs made to break it.
func TestHostile(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile("../../../../testdata/kmem/kmem_modern.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string][]byte{
		"empty.o": nil, "zeros.o": make([]byte, 4096), "elf.o": []byte("\x7fELF"), "half.o": whole[:len(whole)/2],
		"text.s": []byte("\x00\x01\x02"), "esc.s": []byte("r0 = \x1b[31m\nexit\n"), "long.s": []byte(strings.Repeat("goto x\n", 5000)),
	}
	for name, b := range inputs {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"inspect", path}, {"disasm", path}, {"disasm", "--elf", path}, {"run", path}, {"asm", path, "-o", filepath.Join(dir, "out.o")},
		} {
			_, errs, code := call(t, args...)
			if code == exitBug || code == exitOK {
				t.Errorf("%v: exit %d\n%s", args, code, errs)
			}
			if strings.Contains(errs, "\x1b") {
				t.Errorf("%v: the input reached the terminal:\n%q", args, errs)
			}
		}
	}
}
