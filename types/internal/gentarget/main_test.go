package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// Equal input gives equal output.
func TestDeterministic(t *testing.T) {
	const vmlinux = "/sys/kernel/btf/vmlinux"
	raw, err := os.ReadFile(vmlinux)
	if err != nil {
		t.Skipf("the running kernel has no readable BTF: %v", err)
	}
	var files [2][]byte
	for i := range files {
		dir := t.TempDir()
		if err := run(vmlinux, "/proc/kallsyms", dir); err != nil {
			t.Fatal(err)
		}
		if files[i], err = os.ReadFile(filepath.Join(dir, "target.btf.gz")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two runs over the same BTF differ")
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(raw)); got != types.TargetSource() {
		t.Skipf("the target was made from another kernel's BTF (%s), not from this one (%s)", types.TargetSource(), got)
	}
	if target, err := os.ReadFile("../../target.btf.gz"); err != nil || !bytes.Equal(target, files[0]) {
		t.Errorf("target.btf.gz is stale; run go generate bpfvm/types (%v)", err)
	}
}

func TestTrim(t *testing.T) {
	i := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	inner := &btf.Struct{Name: "inner", Size: 4, Members: []btf.Member{{Name: "x", Type: i}}}
	proto := &btf.FuncProto{Return: i, Params: []btf.FuncParam{{Name: "p", Type: &btf.Pointer{Target: inner}}}}
	b, err := btf.NewBuilder([]btf.Type{
		&btf.Func{Name: "static_helper", Type: proto},
		&btf.Func{Name: "global_function", Type: proto},
		&btf.Func{Name: "__traceiter_x", Type: proto},
		&btf.Func{Name: "bpf_iter_x", Type: proto},
		&btf.Func{Name: "tagged", Type: proto, Tags: []string{"bpf_kfunc"}},
		&btf.Var{Name: "jiffies", Type: i},
		&btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "A"}}},
		&btf.Fwd{Name: "nobody"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := b.Spec()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := trim(spec, globals("0 T global_function\n0 T __traceiter_x\n0 t static_helper\n0 T in_module [m]\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"int": true, "inner": true, "bpf_iter_x": true, "tagged": true, "static_helper": false, "jiffies": true,
		"global_function": true, "__traceiter_x": false, "nobody": false,
	} {
		if _, err := got.AnyTypeByName(name); (err == nil) != want {
			t.Errorf("%s: %v, kept should be %v", name, err, want)
		}
	}
}
