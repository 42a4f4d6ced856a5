package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

var sample = map[string]map[string]bool{
	"isa": {}, "spec": set("isa"), "vm": set("isa", "spec"), "elf": set("isa", "spec"), "cmd": set("isa", "vm", "elf"),
}

func TestLayersAndReduction(t *testing.T) {
	want := [][]string{{"cmd"}, {"elf", "vm"}, {"spec"}, {"isa"}}
	if diff := cmp.Diff(want, layers(sample)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(set("vm", "elf"), reduced(sample, "cmd")); diff != "" {
		t.Error(diff)
	}
}

func TestDrawIsXML(t *testing.T) {
	svg := draw(sample)
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := bytes.Count(svg, []byte("<path ")); n != 5 {
		t.Errorf("%d lines, want 5", n)
	}
}

func TestRoom(t *testing.T) {
	for path, want := range map[string]string{
		"bpfvm/isa": "isa", "bpfvm/isa/internal/genops": "isa", "bpfvm/cmd/bpfvm/internal/cli": "cmd/bpfvm",
		"bpfvm/internal/archtest": "", "bpfvm/isa/isatest": "", "fmt": "",
	} {
		if got := room(path); got != want {
			t.Errorf("room(%s) = %q, want %q", path, got, want)
		}
	}
}
