package tour

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/scenario"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// The tag of a program is the same whatever number its map got.
func ExampleTag() {
	u, err := isa.Assemble("p.s", []byte(".map m type=array key=4 value=8 max_entries=1\n.program p xdp\nr1 = map[m]\nr0 = 0\nexit\n"), isa.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := u.Sections[0].Insns
	before := Tag(p)
	p[0].Imm = 7 // the map's file descriptor
	fmt.Println(before, Tag(p) == before)
	// Output: 0bd0168676c7c779 true
}

// TestTag compares with what Linux 6.18 answered for these programs
// (bpf_prog_info.tag).
func TestTag(t *testing.T) {
	for _, c := range []struct{ object, program, want string }{
		{"xdp/firewall.bpf.o", "firewall", "f92b96fd6edc19ec"},
		{"kmem/kmem_modern.bpf.o", "on_free", "45bc1888243353ce"},
		{"kmem/kmem_modern.bpf.o", "on_alloc", "1dbcad826b0fcc88"},
		{"kmem/kmem_classic.bpf.o", "on_free", "0724e52dc5180b7f"},
		{"bench/calls.bpf.o", "subprogs", "c5b9caa230ee9eb7"},
		{"trace/openat.bpf.o", "on_openat", "7a474bd81b344aa9"},
	} {
		coll, err := elf.Load("../testdata/"+c.object, elf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := Tag(coll.Program(c.program).Insns); got != c.want {
			t.Errorf("%s:%s: %s, the kernel says %s", c.object, c.program, got, c.want)
		}
	}
}

func build(t *testing.T, object, program, events string) *Tour {
	t.Helper()
	b, err := os.ReadFile("../testdata/" + object)
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Name: filepath.Base(object), Object: b, Program: program}
	if events != "" {
		text, err := os.ReadFile("../testdata/" + events)
		if err != nil {
			t.Fatal(err)
		}
		if in.Script, err = scenario.Parse(filepath.Base(events), text); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := Build(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestTours compares whole tours with testdata/*.golden.
func TestTours(t *testing.T) {
	for _, c := range []struct{ name, object, program, events string }{
		{"kmem_classic", "kmem/kmem_classic.bpf.o", "", "kmem/kmem.events"},
		{"kmem_modern", "kmem/kmem_modern.bpf.o", "", "kmem/kmem.events"},
		{"kmem_alloc", "kmem/kmem_modern.bpf.o", "on_alloc", "kmem/kmem.events"},
		{"openat", "trace/openat.bpf.o", "", "trace/openat.events"},
		{"tailcall", "trace/tailcall.bpf.o", "dispatch", "trace/tailcall.events"},
		{"drop", "xdp/drop.bpf.o", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := build(t, c.object, c.program, c.events)
			var out bytes.Buffer
			tr.WriteText(&out, Style{})
			for l := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimRight(l, "\n")); n > Width {
					t.Errorf("%d columns: %s", n, l)
				}
			}
			golden := filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestStops wants the same stops of every program, and none empty.
func TestStops(t *testing.T) {
	for _, object := range []string{"xdp/drop.bpf.o", "skb/tc.bpf.o", "skb/socket.bpf.o", "trace/task.bpf.o", "trace/sample.bpf.o"} {
		tr := build(t, object, "", "")
		if len(tr.Stops) != 14 {
			t.Errorf("%s: %d stops", object, len(tr.Stops))
		}
		for _, s := range tr.Stops {
			if len(s.Blocks) == 0 || len(s.Kernel) == 0 && s.Number != 12 {
				t.Errorf("%s: stop %d says nothing", object, s.Number)
			}
		}
	}
}

// TestHTML makes sure that names out of the file cannot become markup.
func TestHTML(t *testing.T) {
	tr := &Tour{Program: "<script>", Object: "a&b", Stops: []Stop{{Number: 1, Title: "x", Blocks: []Block{
		{Kind: Table, Head: []string{"a", ">b"}, Rows: [][]string{{"<b>", "1"}}}, {Kind: Code, Lines: []string{"</pre>"}}}}}}
	var b strings.Builder
	if err := tr.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script>", "<b>", "</pre></"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("%q got through", bad)
		}
	}
	if !strings.Contains(b.String(), `class="r"`) {
		t.Error("numbers are not on the right")
	}
}

func TestBuildErrors(t *testing.T) {
	for _, in := range []Input{{Name: "x"}, {Name: "x", Object: []byte("\x7fELF")}} {
		if tr, err := Build(context.Background(), in); err == nil || tr != nil {
			t.Errorf("%v, %v", tr, err)
		}
	}
	b, err := os.ReadFile("../testdata/xdp/drop.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), Input{Name: "x", Object: b, Program: "nobody"}); err == nil || !strings.Contains(err.Error(), `no program "nobody"`) {
		t.Error(err)
	}
}
