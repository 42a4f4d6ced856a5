package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// The generated files are what the tables say.
func TestFresh(t *testing.T) {
	files, err := generate(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale; run go generate bpfvm/spec\n%s", name, diff)
		}
	}
}

func TestParseTable(t *testing.T) {
	tab := parseTable("x.txt", "# c\na 1\n\tdoc one\n\t\ttwo\n\n\tret 0 A\nb 2\n")
	if err := tab.err(); err != nil {
		t.Fatal(err)
	}
	if len(tab.stanzas) != 2 {
		t.Fatalf("%d stanzas, want 2", len(tab.stanzas))
	}
	a := tab.stanzas[0]
	if got := a.get("doc"); got != "one two" {
		t.Errorf("doc = %q, want %q", got, "one two")
	}
	if got := a.all("ret"); len(got) != 1 || got[0].text != "0 A" || got[0].line != 6 {
		t.Errorf("ret = %+v", got)
	}
}

// A mistake in a table is reported with its place.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ file, text, want string }{
		{"errno.txt", "\tdoc x\n", "errno.txt:1: text before the first entry"},
		{"errno.txt", "1 EPERM\n  doc x\n", "errno.txt:2: indented with a space"},
		{"errno.txt", "1 EPERM\n\t\tx\n", "errno.txt:2: a continuation of nothing"},
		{"errno.txt", "1 EPERM\n\tfoo x\n", `errno.txt:2: unknown key "foo"`},
		{"errno.txt", "1 EPERM\n\tdoc x\n\tdoc y\n", `errno.txt:3: key "doc" again`},
		{"errno.txt", "one EPERM\n\tdoc x\n", `errno.txt:1: "one" is not a number`},
		{"attachtypes.txt", "0 BPF_X nothing\n", `attachtypes.txt:1: unknown program type "nothing"`},
		{"sections.txt", "xdp xdp - odd libbpf f\n", `sections.txt:1: unknown flag "odd"`},
		{"ctx.txt", "a 4\n\tfield 0 4 x blob - * - int\n", `ctx.txt:2: unknown kind "blob"`},
		{"ctx.txt", "a 4\n\talias x y\n", `ctx.txt:2: alias x of no field "y"`},
		{"helpers.txt", "bpf_x 2\n\tsig f\n\tret integer\n\tsince 1\n\tfor base\n\tdoc d\n", "helpers.txt:1: helper 2 stands at place 1"},
		{"helpers.txt", "bpf_x 1\n\tsig f\n\tret integer\n\targs odd\n\tsince 1\n\tfor base\n\tdoc d\n", `helpers.txt:1: unknown argument kind "odd"`},
		{"tracepoints.txt", "b/b\na/a\n", "tracepoints.txt:2: [a/a] is not one name in order"},
	} {
		dir := fstest.MapFS{"progtypes.txt": {Data: []byte("xdp 0\n")}}
		dir[tt.file] = &fstest.MapFile{Data: []byte(tt.text)}
		_, err := generate(dir)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want %q", tt.text, err, tt.want)
		}
	}
}
