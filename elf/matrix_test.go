package elf_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/internal/tools/corpus/judge"
	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// build is one way to compile the sources of testdata/matrix.
type build struct {
	compiler string
	version  int // of clang; 0 for gcc
	level    string
	cpu      string // -mcpu of clang
}

func (b build) String() string { return strings.TrimSuffix(b.compiler+b.level+"-"+b.cpu, "-") }

// builds lists all ways. CPU version 4 came with clang 18.
func builds() []build {
	var list []build
	for v := 14; v <= 19; v++ {
		for _, level := range []string{"-O0", "-O2"} {
			for _, cpu := range []string{"v1", "v2", "v3", "v4"} {
				if cpu == "v4" && v < 18 {
					continue
				}
				list = append(list, build{"clang-" + strconv.Itoa(v), v, level, cpu})
			}
		}
	}
	for _, level := range []string{"-O0", "-O1", "-O2", "-Os"} {
		list = append(list, build{compiler: "bpf-gcc", level: level})
	}
	return list
}

// command compiles one source.
func (b build) command(source, out string) *exec.Cmd {
	if b.version == 0 {
		return exec.Command(b.compiler, b.level, "-gbtf", "-c", source, "-o", out)
	}
	return exec.Command(b.compiler, "-target", "bpf", "-g", b.level, "-mcpu="+b.cpu, "-Wall", "-Werror",
		"-Wno-unknown-attributes", "-fno-ident", "-c", source, "-o", out)
}

// takes tells whether the compiler knows what the source needs: CO-RE and externs
// of the kernel are clang's, address spaces are those of clang 19.
func (b build) takes(source string) bool {
	switch source {
	case "plain":
		return true
	case "arena":
		return b.version >= 19
	}
	return b.version > 0
}

// TestMatrix compiles the sources of testdata/matrix with every compiler that is
// here, and links what comes out: whatever the compiler, its level and its CPU
// version, the object means the same (testdata/matrix/*.golden).
func TestMatrix(t *testing.T) {
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range builds() {
		if testing.Short() && b.cpu != "v3" && b.level != "-O2" {
			continue
		}
		t.Run(b.String(), func(t *testing.T) {
			if _, err := exec.LookPath(b.compiler); err != nil {
				t.Skipf("no %s here", b.compiler)
			}
			dir := t.TempDir()
			for _, source := range []string{"plain", "core", "externs", "ops", "arena"} {
				if !b.takes(source) {
					continue
				}
				obj := filepath.Join(dir, source+".o")
				if out, err := b.command(filepath.Join("testdata", "matrix", source+".c"), obj).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", source, err, out)
					continue
				}
				checkMatrix(t, b, source, obj)
				if b.version > 0 {
					compareDWARF(t, obj)
				}
				if b.version > 0 && b.level == "-O2" && b.cpu == "v3" {
					checkLinked(t, b, source, obj)
				}
				if runtime.GOOS != "linux" {
					continue
				}
				o, err := judge.Judge(obj, target)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range o.Maps {
					t.Errorf("%s: %s", source, d)
				}
				for name, diffs := range o.Differ {
					t.Errorf("%s: program %s, compared with cilium/ebpf:\n%s", source, name, strings.Join(diffs, "\n"))
				}
			}
		})
	}
}

// checkLinked passes an object through libbpf's static linker, which writes sections,
// symbols and BTF anew: it must mean the same afterwards.
func checkLinked(t *testing.T, b build, source, obj string) {
	t.Helper()
	bpftool, err := exec.LookPath("bpftool")
	if err != nil {
		t.Logf("%s: no bpftool here to link with", source)
		return
	}
	linked := strings.TrimSuffix(obj, ".o") + ".linked.o"
	if out, err := exec.Command(bpftool, "gen", "object", linked, obj).CombinedOutput(); err != nil {
		t.Logf("%s: this bpftool cannot link it: %v\n%s", source, err, out)
		return
	}
	checkMatrix(t, b, source, linked)
}

// compareDWARF reads an object's structures from its debugging information and from
// its BTF: both must say the same.
func compareDWARF(t *testing.T, obj string) {
	t.Helper()
	f, err := elf.OpenFile(obj)
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.DWARFTypes()
	if err != nil {
		t.Errorf("%s: %v", filepath.Base(obj), err)
		return
	}
	spec, err := types.Load(f.Section(".BTF").Data())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, typ := range list {
		st, ok := typ.(*btf.Struct)
		if !ok || st.Name == "" {
			continue
		}
		same, err := types.TypeByName(spec, "struct "+st.Name)
		if err != nil {
			continue // not used by anything that BTF describes
		}
		n++
		if diff := cmp.Diff(types.Define(same, true), types.Define(st, true)); diff != "" {
			t.Errorf("%s: struct %s (-BTF +DWARF):\n%s", filepath.Base(obj), st.Name, diff)
		}
	}
	if n == 0 && filepath.Base(obj) == "core.o" {
		t.Error("no structure to compare")
	}
}

// TestMatrixObjects does the same with objects that were compiled before, for
// where there is no compiler: by clang-19 with -O2 -mcpu=v3 (and llvm-strip -g), by
// bpf-gcc 12.2 with -O2.
func TestMatrixObjects(t *testing.T) {
	for _, source := range []string{"plain", "core", "externs", "ops", "arena"} {
		checkMatrix(t, build{"clang-19", 19, "-O2", "v3"}, source, filepath.Join("testdata", "matrix", source+".o"))
	}
	checkMatrix(t, build{compiler: "bpf-gcc", level: "-O2"}, "plain", filepath.Join("testdata", "matrix", "gcc-plain.o"))
}

// checkMatrix compares what an object means with what it must mean.
func checkMatrix(t *testing.T, b build, source, obj string) {
	t.Helper()
	c, err := elf.Load(obj, elf.Options{})
	if c == nil {
		t.Errorf("%s: %v", source, err)
		return
	}
	list, _ := errors.AsType[elf.ErrorList](err)
	// Without optimisation, clang before 17 describes no functions of the kernel in
	// BTF; libbpf refuses the object as a whole.
	mute := source == "externs" && b.level == "-O0" && b.version < 17
	if mute && len(list) == 1 && errors.Is(list[0], elf.ErrUndefined) {
		return
	}
	if err != nil {
		t.Errorf("%s: %v", source, err)
		return
	}
	got := meaning(c)
	golden := filepath.Join("testdata", "matrix", source+".golden")
	if *update && !strings.Contains(obj, ".linked.") {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(want), "\n")
	if source == "core" && b.version == 14 { // before enumerators of 64 bits and type_matches
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "::BIG") || strings.Contains(l, "type_matches") })
	}
	if diff := cmp.Diff(lines, strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", source, diff)
	}
}

// meaning writes down what does not depend on how the code came out: maps with
// their contents, and what programs call, refer to and are relocated for.
func meaning(c *spec.CollectionSpec) string {
	var lines []string
	for _, m := range c.Maps {
		line := fmt.Sprintf("map %s: %v key %d value %d entries %d", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries)
		if strings.HasPrefix(m.Name, ".") {
			line = "map " + m.Name // how large it is depends on what is put where
		}
		if m.Inner != nil {
			line += fmt.Sprintf(" of %v key %d value %d entries %d", m.Inner.Type, m.Inner.KeySize, m.Inner.ValueSize, m.Inner.MaxEntries)
		}
		for _, kv := range m.Contents {
			if kv.Value == nil {
				line += fmt.Sprintf(" [%d]=%s", kv.Key[0], kv.Program+kv.Map)
			}
		}
		for _, op := range m.Ops {
			line += fmt.Sprintf(" %s=%s", op.Member, op.Program)
		}
		lines = append(lines, line)
	}
	for _, p := range c.Programs {
		at := "program " + p.Name
		lines = append(lines, fmt.Sprintf("%s: %s %v %s", at, p.Section, p.Type, p.AttachTo))
		for _, f := range p.Funcs[1:] {
			name, _, _ := strings.Cut(f.Name, ".") // gcc makes variants: third.constprop.0
			lines = append(lines, at+" has "+name)
		}
		for pc, in := range p.Insns.All() {
			if in.Op == isa.OpCall && isa.Pseudo(in.Src()) == isa.PseudoImm64 {
				lines = append(lines, fmt.Sprintf("%s calls helper %d", at, in.Imm))
			}
			if r := p.RefAt(pc); r != nil {
				weak := ""
				if r.Weak {
					weak = " (weak)"
				}
				lines = append(lines, fmt.Sprintf("%s refers to %s%s", at, r.Name, weak))
			}
		}
		for _, r := range p.Core {
			lines = append(lines, fmt.Sprintf("%s needs %s of %s", at, r.Kind, r.Path))
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n") + "\n"
}
