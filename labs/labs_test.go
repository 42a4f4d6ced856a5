package labs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// A student's first answer to lab 6.
func Example() {
	e, err := ByNumber(6).For("")
	if err != nil {
		fmt.Println(err)
		return
	}
	answers := map[string]string{"drop.s": strings.Replace(string(e.File("drop.s")), "r4 += 12", "r4 += 14", 1)}
	rep, err := e.Check(context.Background(), func(name string) ([]byte, error) { return []byte(answers[name]), nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rep.Points, "of", rep.Of)
	fmt.Println(rep.Items[0].Got)
	fmt.Println(rep.Items[0].Where)
	// Output:
	// 0 of 10
	// rejected V012: invalid access to packet, off=20 size=2, R2(id=0,off=20,r=14)
	// R2 offset is outside of the packet
	// drop.s:11, insn 8: r5 = *(u16 *)(r2 +20)
}

// TestLint proves of every lab, for several students, that the starter fails and that
// the solution passes.
func TestLint(t *testing.T) {
	for _, l := range All() {
		for _, student := range []string{"", "ada", "grace", "linus", "x1", "x2", "x3", "x4", "ünï"} {
			e, err := l.For(student)
			if err != nil {
				t.Fatalf("lab %d for %q: %v", l.Number, student, err)
			}
			for _, err := range e.Lint(t.Context()) {
				t.Errorf("lab %d for %q: %v", l.Number, student, err)
			}
			for _, name := range e.Files() {
				if strings.Contains(string(e.File(name)), "${") {
					t.Errorf("lab %d: %s: a value is missing", l.Number, name)
				}
			}
		}
	}
}

// TestStudents wants the same values for the same student and others for another.
func TestStudents(t *testing.T) {
	for _, n := range []int{1, 2} {
		edit := ByNumber(n).Edit[0]
		seen := map[string]bool{}
		for i := range 8 {
			student := fmt.Sprint("student", i)
			a, errA := ByNumber(n).For(student)
			b, errB := ByNumber(n).For(student)
			if err := errors.Join(errA, errB); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(a.files, b.files); diff != "" {
				t.Errorf("lab %d is another for the same student:\n%s", n, diff)
			}
			seen[string(a.Solution(edit))] = true
		}
		if len(seen) < 7 {
			t.Errorf("lab %d: 8 students, %d solutions", n, len(seen))
		}
	}
}

// TestTasks wants texts that fit a terminal.
func TestTasks(t *testing.T) {
	for _, l := range All() {
		e, err := l.For("")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(e.File("TASK.txt"))) {
			if len(line) > 79 {
				t.Errorf("lab %d: %d columns: %s", l.Number, len(line), line)
			}
		}
		if l.Goal == "" || l.Misconception == "" || len(l.Hints) != 3 {
			t.Errorf("lab %d: a goal, three hints and a misconception are needed", l.Number)
		}
	}
}

// TestFeedback compares what wrong answers are told with testdata/feedback.golden.
func TestFeedback(t *testing.T) {
	var out strings.Builder
	for _, c := range []struct {
		name     string
		lab      int
		old, new string // in the solution; empty: the starter
	}{
		{"starter", 1, "", ""},
		{"wrong section", 1, "section =", "section = 1 #"},
		{"wrong type", 1, "type    =", "type = kretprobe #"},
		{"no such section", 1, "maps    =", "maps = 99 #"},
		{"starter", 2, "", ""},
		{"swapped registers", 2, "0f 21", "0f 12"},
		{"offset in bytes", 2, "2d 12 01", "2d 12 08"},
		{"not hex", 2, "95", "9z"},
		{"half a slot", 2, "95 00", "95"},
		{"one slot too much", 2, "95 00 00 00 00 00 00 00", "95 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00"},
		{"nothing at all", 2, "*", "# nothing\n"},
		{"starter", 6, "", ""},
		{"one byte short", 6, "r4 += 22", "r4 += 21"},
		{"drops what is short", 6, "if r4 > r3 goto out", "r0 = 1\n    if r4 > r3 goto out\n    r0 = 2"},
		{"drops replies too", 6, "if r5 != 0x100 goto out", "r5 = 0"},
		{"more than needed", 6, "r4 += 22", "r4 += 40"},
		{"does not assemble", 6, "r0 = 1 ", "r0 == 1 "},
		{"not a program", 6, "*", "; nothing\n"},
		{"never ends", 6, "r0 = 1 ", "goto out2\nout2:\n goto out2\n r0 = 1"},
	} {
		e, err := ByNumber(c.lab).For("ada")
		if err != nil {
			t.Fatal(err)
		}
		rep, err := e.Check(t.Context(), func(name string) ([]byte, error) {
			b := string(e.Solution(name))
			switch {
			case c.new == "":
				b = string(e.File(name))
			case c.old == "*":
				b = c.new
			case !strings.Contains(b, c.old):
				t.Fatalf("%s: no %q in\n%s", c.name, c.old, b)
			default:
				b = strings.Replace(b, c.old, c.new, 1)
			}
			return []byte(b), nil
		})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		fmt.Fprintf(&out, "lab %d, %s: %d of %d points\n", c.lab, c.name, rep.Points, rep.Of)
		for _, i := range rep.Items {
			if i.Status != Pass {
				fmt.Fprintf(&out, "  %s %s\n    want  %s\n    got   %s\n    where %s\n    again %s\n", i.Status, i.Name, i.Want, i.Got, i.Where, i.Again)
			}
		}
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/feedback.golden", []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("testdata/feedback.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWorkspace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	e, err := ByNumber(1).For("ada")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoLab) {
		t.Errorf("an empty folder: %v", err)
	}
	if err := Create(dir, e, State{Lab: 1, Student: "ada"}); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, e, State{Lab: 1}); err == nil {
		t.Error("a second start in the same folder")
	}
	w, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if diff := cmp.Diff(State{Lab: 1, Student: "ada"}, w.State); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "answers.txt"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.Reset(e); err != nil {
		t.Fatal(err)
	}
	if b, err := w.Read("answers.txt"); err != nil || string(b) != string(e.File("answers.txt")) {
		t.Errorf("%q, %v", b, err)
	}
	if err := w.Reset(e, "../x"); err == nil {
		t.Error("a reset outside of the folder")
	}
	for _, name := range []string{"../outside", "/etc/passwd", "link"} {
		if name == "link" {
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, name)); err != nil {
				continue // no links here
			}
		}
		if b, err := w.Read(name); err == nil {
			t.Errorf("%s: read %d bytes from outside", name, len(b))
		}
	}
	big := make([]byte, maxAnswer+1)
	if err := os.WriteFile(filepath.Join(dir, "answers.txt"), big, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Read("answers.txt"); err == nil {
		t.Error("a huge answer was read")
	}
}

const goodLab = "lab 9 \"X\" points 1\nedit a.s\ncheck verify a.s accepted : 1\n-- a.s --\n"

func TestParseErrors(t *testing.T) {
	if _, err := Parse("good", []byte(goodLab)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                              "no check",
		"lab six\n":                     "want: lab 6",
		"edit nothing\n":                "no such file",
		"hint 2 x\n":                    "hint 1 TEXT",
		"vary x 1..2\n":                 "in capitals",
		"vary X 2..1\n":                 "no range",
		"vary X a..b\n":                 "invalid syntax",
		"vary X one\n":                  "one|two",
		"build a\n":                     "want OBJECT SOURCE",
		"build a b\n":                   "no file b",
		"check\n":                       "check WHAT",
		"check : 1\n":                   "want one of bytes",
		"check dance : 1\n":             "want one of bytes",
		"check verify x : 1\n":          "accepted",
		"check run a b c d e : 1":       "--packets",
		"check verify a.s accepted : 2": "have 3 points",
		"dance\n":                       "no statement",
		"-- ../x --\n":                  "plain name",
		"-- .x --\n":                    "plain name",
		"-- a/b --\n":                   "plain name",
	} {
		in := text + "\n" + goodLab
		if text == "" {
			in = "lab 9 \"X\" points 1\n"
		} else if strings.HasPrefix(text, "--") {
			in = goodLab + text
		}
		if l, err := Parse("x", []byte(in)); err == nil || l != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzLab looks for labs and answers that break the checker.
func FuzzLab(f *testing.F) {
	for _, l := range []string{"lab01", "lab02", "lab06"} {
		b, err := content.ReadFile("content/" + l + ".txtar")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte("section = 3\nb7 01 00 00 05 00 00 00\n"))
	}
	f.Add([]byte(goodLab), []byte("r0 = 0\nexit\n"))
	f.Fuzz(func(t *testing.T, lab, answer []byte) {
		l, err := Parse("fuzz", lab)
		if (err == nil) != (l != nil) {
			t.Fatalf("lab %v, error %v", l, err)
		}
		if err != nil {
			return
		}
		e, err := l.For("x")
		if err != nil {
			return
		}
		_, _ = e.Check(t.Context(), func(string) ([]byte, error) { return answer, nil })
	})
}
