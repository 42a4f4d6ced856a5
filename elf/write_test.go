package elf_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
)

const writeSource = `
.license "GPL"
.version 0x61200
.map counts type=hash key=4 value=8 max_entries=16 flags=1
.map table type=array key=4 value=4 max_entries=2
.map nested type=array_of_maps key=4 value=4 max_entries=4 inner=table
.rodata fmt "hi"
.bss total 0, 0, 0, 0, 0, 0, 0, 0
.program count xdp
	r1 = map[counts]
	r2 = data[total]
	r3 = data[fmt]+1
	call half
	r1 = map[nested]
	r2 = func[cb]
	exit
.section ".text"
.func half static
	r0 = 1
	exit
.func cb
	call half
	r0 = 0
	exit
`

// TestWrite assembles, writes and reads back, in both forms.
func TestWrite(t *testing.T) {
	u, err := isa.Assemble("t.s", []byte(writeSource), isa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		write func(*isa.Unit) ([]byte, error)
	}{{"btf", elf.Write}, {"classic", elf.WriteClassic}} {
		t.Run(tt.name, func(t *testing.T) {
			obj, err := tt.write(u)
			if err != nil {
				t.Fatal(err)
			}
			again, err := tt.write(u)
			if err != nil || !bytes.Equal(obj, again) {
				t.Errorf("writing twice gives different bytes (%v)", err)
			}
			c, err := elf.LoadReader(bytes.NewReader(obj), int64(len(obj)), elf.Options{Name: "t"})
			if err != nil {
				t.Fatal(err)
			}
			if c.License != "GPL" || c.Version != 0x61200 {
				t.Errorf("license %q, version %#x", c.License, c.Version)
			}
			nested := c.Map("nested")
			if nested == nil || nested.Inner == nil || nested.Inner.ValueSize != 4 || nested.Inner.Type != spec.MapArray {
				t.Errorf("map nested: %+v", nested)
			}
			counts := *c.Map("counts")
			counts.Section = ""
			want := spec.MapSpec{Name: "counts", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 16, Flags: 1}
			if diff := cmp.Diff(want, counts); diff != "" {
				t.Errorf("map counts (-want +got):\n%s", diff)
			}
			if got := c.Map(".rodata").Contents[0].Value; !bytes.Equal(got, []byte("hi\x00")) {
				t.Errorf(".rodata holds %q", got)
			}
			p := c.Program("count")
			wantRefs := []spec.Ref{
				{PC: 0, Kind: spec.RefMap, Name: "counts"},
				{PC: 2, Kind: spec.RefMapValue, Name: ".bss"},
				{PC: 4, Kind: spec.RefMapValue, Name: ".rodata", Off: 1},
				{PC: 7, Kind: spec.RefMap, Name: "nested"},
			}
			if diff := cmp.Diff(wantRefs, p.Refs); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
			wantFuncs := []spec.Func{{Name: "count", PC: 0, Global: true}, {Name: "half", PC: 12}, {Name: "cb", PC: 14, Global: true}}
			if diff := cmp.Diff(wantFuncs, p.Funcs); diff != "" {
				t.Errorf("functions (-want +got):\n%s", diff)
			}
			var pr isa.Printer
			for pc, want := range map[isa.PC]string{6: "call pc+5", 14: "call pc-3"} {
				if got := pr.Insn(p.Insns, pc); got != want {
					t.Errorf("slot %d: %s, want %s", pc, got, want)
				}
			}
			if in := p.Insns[9]; isa.Pseudo(in.Src()) != isa.PseudoFunc || in.Imm != 4 {
				t.Errorf("callback: %+v", in)
			}
		})
	}
}

// TestWriteForBpftool lets libbpf read what Write makes.
func TestWriteForBpftool(t *testing.T) {
	bpftool, err := exec.LookPath("bpftool")
	if err != nil {
		t.Skip("no bpftool here to read the object with")
	}
	u, err := isa.Assemble("t.s", []byte(writeSource), isa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := elf.Write(u)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "t.bpf.o")
	if err := os.WriteFile(path, obj, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bpftool, "gen", "skeleton", path, "name", "t").CombinedOutput()
	if err != nil {
		t.Fatalf("bpftool gen skeleton: %v\n%s", err, out)
	}
	for _, want := range []string{"*counts;", "*nested;", "*rodata;", "*count;"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the skeleton has no %q", want)
		}
	}
}

// TestWriteRefuses lists what an object cannot hold.
func TestWriteRefuses(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"address in a map's value", ".map m type=array key=4 value=8 max_entries=1\nr1 = map[m][0]+4\nexit\n", "whole maps only"},
		{"unknown map type", ".map m type=bag key=4 value=8 max_entries=1\nexit\n", `map type "bag"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := isa.Assemble("t.s", []byte(tt.src), isa.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = elf.Write(u)
			if err == nil || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
