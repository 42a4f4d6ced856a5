package main

import (
	"bytes"
	"os"
	"testing"
)

func TestGeneratedFileIsFresh(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../zfast.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("interp/zfast.go is stale: run go generate ./interp")
	}
}
