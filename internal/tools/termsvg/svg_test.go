package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpans(t *testing.T) {
	got := spans("  a\x1b[1;31mbad \x1b[0m<c>")
	want := []span{{"  ", ""}, {"a", ""}, {"bad", ` font-weight="bold" fill="#ff8a80"`}, {" ", ""}, {"<c>", ""}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); diff != "" {
		t.Error(diff)
	}
	if p := plain("\x1b[2m#1\x1b[0m  x"); p != "#1  x" {
		t.Errorf("plain: %q", p)
	}
}

func TestRenderIsXML(t *testing.T) {
	svg := render("$ bpfvm run a&b", []string{`<"quoted">`, "\x1b[33m1 → 2\x1b[0m"})
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(string(svg), "1 → 2") || strings.Contains(string(svg), "\x1b") {
		t.Errorf("%s", svg)
	}
}
