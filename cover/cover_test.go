package cover_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/cover"
	"bpfvm/unittest"
	"bpfvm/vm"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// count runs a test file and returns what it covered.
func count(t *testing.T, file string) *cover.Recorder {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := unittest.Parse(filepath.ToSlash(file), b)
	if err != nil {
		t.Fatal(err)
	}
	rec := cover.New()
	for _, r := range f.Run(t.Context(), unittest.Options{
		Read:    func(path string) ([]byte, error) { return fs.ReadFile(os.DirFS(".."), strings.TrimPrefix(path, "../")) },
		Engines: []string{"step"},
		Loaded:  rec.Add,
		Engine:  func(string) (vm.Engine, error) { return rec.Engine(), nil },
	}) {
		if r.Status != unittest.Pass {
			t.Errorf("%s", r)
		}
	}
	return rec
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// Subprograms, callbacks, an instruction that traps, a program that never runs; and
// an object with source lines whose cases add up.
func TestReports(t *testing.T) {
	for _, name := range []string{"ways", "lines"} {
		t.Run(name, func(t *testing.T) {
			rep := count(t, filepath.Join("testdata", name+".txtar")).Report()
			var text, html bytes.Buffer
			if err := rep.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".golden", text.Bytes())
			if err := rep.WriteHTML(&html, name); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".html", html.Bytes())
		})
	}
}

// Sums must be those of their parts, however lines are shared.
func TestSums(t *testing.T) {
	rep := count(t, filepath.Join("testdata", "lines.txtar")).Report()
	var insns, ways, lines cover.Count
	add := func(to *cover.Count, c cover.Count) { to.Covered += c.Covered; to.Of += c.Of }
	for _, p := range rep.Programs {
		add(&insns, p.Insns)
		add(&ways, p.Branches)
	}
	for _, f := range rep.Files {
		add(&lines, f.Covered)
	}
	if diff := cmp.Diff([]cover.Count{rep.Insns, rep.Branches, rep.Lines}, []cover.Count{insns, ways, lines}); diff != "" {
		t.Error(diff)
	}
}

// Names come from objects: nothing of them may act on a page or a terminal.
func TestHostileNames(t *testing.T) {
	rec := count(t, filepath.Join("testdata", "ways.txtar"))
	rep := rec.Report()
	rep.Programs[0].Name = "<script>\x1b[2J"
	var text, html bytes.Buffer
	if err := rep.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := rep.WriteHTML(&html, "<b>"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "\x1b") || strings.Contains(html.String(), "<script>") || strings.Contains(html.String(), "<b></title>") {
		t.Error("a name went through as it was")
	}
}
