package unittest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bpfvm/vm"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write golden files anew")

// A test file as the package comment has it, run from Go.
func Example() {
	f, err := Parse("drop.txtar", []byte(`
verify accepted

case arp is dropped
xdp packet="eth/arp"
expect r0 == XDP_PASS

-- drop.s --
.program drop xdp
    r0 = 1
    exit
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range f.Run(context.Background(), Options{Engines: []string{"interp"}}) {
		fmt.Println(r)
	}
	// Output:
	// fail  arp is dropped (interp)
	//       drop.txtar:6: expect r0 == XDP_PASS
	//         want == XDP_PASS
	//         got  1 XDP_DROP
	//         at   #1 42B eth/arp drop r0=1 XDP_DROP 2 insns  packet unchanged
	//       again: bpfvm test drop.txtar --case 'arp is dropped' --engine interp
}

// TestShipped runs the tests of the shipped objects.
func TestShipped(t *testing.T) {
	Run(t, os.DirFS("../testdata"))
}

// TestDocumented runs the file that the package comment teaches the format with.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "This one is complete:\n")
	text, _, _ = strings.Cut(text, "\n// # Statements")
	var lines []string
	for l := range strings.Lines(text) {
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(strings.TrimRight(l, "\n"), "//"), "\t"))
	}
	f, err := Parse("doc.txtar", []byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	rs := f.Run(context.Background(), Options{})
	if s := Summarize(rs); s.Passed != 4 || !s.OK() {
		t.Errorf("%+v\n%v", s, rs)
	}
}

// TestResults runs testdata/*.txtar and compares results and reports with the
// golden files beside them: these tests fail, in every way there is.
func TestResults(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range files {
		name := filepath.ToSlash(path)
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			f, err := Parse(name, text)
			if err != nil {
				fmt.Fprintln(&out, err)
			} else {
				rs := f.Run(context.Background(), Options{Read: func(p string) ([]byte, error) { return os.ReadFile(p) }, Budget: 1000})
				for _, r := range rs {
					fmt.Fprintln(&out, r)
				}
				fmt.Fprintf(&out, "%+v\n", Summarize(rs))
				if err := WriteJUnit(&out, rs); err != nil {
					t.Error(err)
				}
			}
			golden := strings.TrimSuffix(path, ".txtar") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), out.String()); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", golden, diff)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	f, err := Parse("x.txtar", []byte("object a.s\ncase one\nskip not yet\ncase two\nskip not yet\n"))
	if err != nil {
		t.Fatal(err)
	}
	rs := f.Run(context.Background(), Options{Match: regexp.MustCompile("^two$")})
	if len(rs) != 1 || rs[0].Case != "two" || rs[0].Status != Skip {
		t.Errorf("%v", rs)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if rs := f.Run(ctx, Options{}); len(rs) != 0 {
		t.Errorf("cancelled, and yet %v", rs)
	}
}

// TestJUnitIsXML makes sure that hostile names do not break the report.
func TestJUnitIsXML(t *testing.T) {
	var b bytes.Buffer
	err := WriteJUnit(&b, []*Result{{File: `a"<&>.txtar`, Case: "]]>\x01", Status: Error, Reason: "<b>"}})
	if err != nil {
		t.Fatal(err)
	}
	var doc junitSuites
	if err := xml.Unmarshal(b.Bytes(), &doc); err != nil || doc.Errors != 1 {
		t.Errorf("%v\n%s", err, b.Bytes())
	}
}

func TestIsTest(t *testing.T) {
	for text, want := range map[string]bool{
		"object x.o\n": true, "  object x.o": true, "objects\n": false, "": false,
		"# a lab\n-- x --\nobject x.o\n": false,
	} {
		if IsTest([]byte(text)) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

// FuzzParse looks for texts that break the parser or the runs.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata", "../testdata/tests"} {
		files, _ := filepath.Glob(dir + "/*.txtar")
		for _, path := range files {
			if b, err := os.ReadFile(path); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse("fuzz.txtar", b)
		if (err == nil) != (file != nil) {
			t.Fatalf("file %v, error %v", file, err)
		}
		if err != nil {
			return
		}
		txtar.Parse(b)
		for _, r := range file.Run(t.Context(), Options{Budget: 1000}) {
			_ = r.String()
		}
	})
}

// TestEngines runs the shipped tests on every engine, and skips by name what an engine
// cannot run.
func TestEngines(t *testing.T) {
	for _, name := range []string{"step", "interp", "jit"} {
		if _, err := EngineByName(name); err != nil {
			t.Skip(err)
		}
	}
	RunWith(t, os.DirFS("../testdata"), Options{Engines: []string{"jit"}})
	f, err := Parse("x.txtar", []byte("engine away\ncase x\nxdp packet=\"eth/arp\"\nexpect r0 == 0\n-- p.s --\n.program p xdp\nr0 = 0\nexit\n"))
	if err != nil {
		t.Fatal(err)
	}
	away := func(string) (vm.Engine, error) { return nil, errors.ErrUnsupported }
	if rs := f.Run(t.Context(), Options{Engine: away}); rs[0].Status != Skip {
		t.Errorf("%s", rs[0])
	}
}
