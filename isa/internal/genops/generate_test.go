package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestFresh fails when zops.go is not what ops.txt says.
func TestFresh(t *testing.T) {
	src, err := os.ReadFile("../../ops.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Generate("ops.txt", src)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../zops.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("isa/zops.go is stale: run go generate ./isa")
	}
}

func TestGenerateErrors(t *testing.T) {
	const good = "0x07 add64_imm rw 0 0 any - base64 v1 yes | r{dst} += {imm} | Adds."
	for _, tt := range []struct{ src, want string }{
		{strings.Replace(good, "any", "some", 1), `t:1: unknown field rule "some"`},
		{strings.Replace(good, "any", "=x", 1), `fixed value`},
		{strings.Replace(good, "base64", "base128", 1), `unknown group "base128"`},
		{strings.Replace(good, "v1", "v9", 1), `unknown version "v9"`},
		{strings.Replace(good, "yes", "maybe", 1), `linux column is "maybe"`},
		{strings.Replace(good, "0x07", "0x107", 1), `opcode: `},
		{strings.Replace(good, "Adds.", "Adds", 1), `no full stop`},
		{strings.Replace(good, " v1", "", 1), `want 10 columns, have 9`},
		{"0x07 add64_imm", `want 3 parts`},
		{good + "\n" + good, `t:2: name "add64_imm" is used on line 1 too`},
		{good + "\n" + strings.NewReplacer("0x07", "0x04", "add64_imm", "x").Replace(good), `t:2: opcode 0x04 after 0x07`},
	} {
		_, err := Generate("t", []byte(tt.src))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want %q", tt.src, err, tt.want)
		}
	}
}
