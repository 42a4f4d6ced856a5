//go:build linux

package verifier

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
)

func TestProbe(t *testing.T) {
	f := os.Getenv("ASM")
	if f == "" {
		t.Skip()
	}
	src, _ := os.ReadFile(f)
	p, err := isa.AssembleProgram(string(src))
	if err != nil {
		t.Fatal(err)
	}
	typ, _ := strconv.Atoi(os.Getenv("PT"))
	if typ == 0 {
		typ = 1
	}
	lvl, _ := strconv.Atoi(os.Getenv("LVL"))
	k := needKernel(t)
	a, err := k.ask(&kernelJob{Type: uint32(typ), License: "GPL", Insns: isa.Encode(p), Level: uint32(lvl)})
	os.WriteFile("/tmp/k.log", []byte(fmt.Sprintln(a.Err, err)+a.Log), 0o644)
	r, err := Verify(&spec.ProgramSpec{Name: "p", Type: spec.ProgType(typ), License: "GPL", Insns: p}, Options{LogLevel: lvl})
	if err != nil {
		os.WriteFile("/tmp/o.log", []byte(err.Error()+"\n"), 0o644)
		return
	}
	os.WriteFile("/tmp/o.log", []byte(fmt.Sprintln(r.Verdict, r.Code, r.PC, r.Slice, r.Path)+r.Log), 0o644)
}

func TestSeed(t *testing.T) {
	s, err := strconv.Atoi(os.Getenv("SEED"))
	if err != nil {
		t.Skip()
	}
	p := genSpec(uint64(s))
	k := needKernel(t)
	a, err := k.ask(&kernelJob{Type: uint32(p.Type), License: "GPL", Insns: isa.Encode(p.Insns), Level: 2})
	os.WriteFile("/tmp/k.log", []byte(fmt.Sprintln(a.Err, err)+a.Log), 0o644)
	r, err := Verify(p, Options{LogLevel: 2})
	os.WriteFile("/tmp/o.log", []byte(fmt.Sprintln(r.Verdict, r.Code, r.PC, r.Slice, r.Path, err)+r.Log), 0o644)
}
