package scenario

import (
	goparser "go/parser"
	"go/token"
	"strings"
	"testing"
)

// The script that the package's documentation teaches with is one that runs, and
// all that it expects comes true.
func TestDocScript(t *testing.T) {
	f, err := goparser.ParseFile(token.NewFileSet(), "doc.go", nil, goparser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(f.Doc.Text(), "user space:\n")
	text, _, found := strings.Cut(rest, "The statements:")
	if !found {
		t.Fatal("doc.go has no script")
	}
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimPrefix(line, "\t"))
	}
	text = strings.Join(lines, "")
	s := mustParse(t, text)
	if got := Format(s); strings.TrimSpace(got) != strings.TrimSpace(text) {
		t.Errorf("not in canonical form, which is\n%s", got)
	}
	res := run(t, load(t, "trace/openat.bpf.o", s))
	if len(res.Expect) != 8 {
		t.Errorf("%d expectations", len(res.Expect))
	}
	for _, e := range res.Expect {
		if !e.OK {
			t.Error(e.String())
		}
	}
	for _, w := range res.Warnings {
		t.Error(w)
	}
}

// Every function, hook, setting and subject of the language is in the lesson.
func TestDocComplete(t *testing.T) {
	f, err := goparser.ParseFile(token.NewFileSet(), "doc.go", nil, goparser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	doc := f.Doc.Text()
	words := append(keys(verbs), Hooks()...)
	words = append(words, settings...)
	words = append(words, subjects...)
	words = append(words, packetArgs...)
	for _, name := range keys(funcs) {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "user_"), "kernel_")
		words = append(words, name)
	}
	for _, w := range words {
		if !strings.Contains(doc, w) {
			t.Errorf("doc.go does not mention %s", w)
		}
	}
}
