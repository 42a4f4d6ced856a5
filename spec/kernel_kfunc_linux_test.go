package spec_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// The kernel keeps the registered kfuncs in struct btf, which no file shows. A
// program can read it: from the current task to its open files, to a program that
// was loaded against the kernel's BTF, to that BTF.

// kernelMemory reads kernel memory with a test-run program.
type kernelMemory struct {
	t     *testing.T
	btf   *btf.Spec
	prog  *ebpf.Program
	value *ebpf.Map
}

const memoryChunk = 1024 // bytes a run reads

func newKernelMemory(t *testing.T) *kernelMemory {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: memoryChunk, MaxEntries: 1})
	if err != nil {
		t.Skipf("cannot create maps: %v", err)
	}
	t.Cleanup(func() { m.Close() })
	// ctx[0] is the address; 0 asks for the current task's.
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.RawTracepoint, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R7, asm.R1, 0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.R10, -8, asm.R0, asm.DWord),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, "found"),
		asm.Return(),
		asm.Mov.Reg(asm.R6, asm.R0).WithSymbol("found"),
		asm.JNE.Imm(asm.R7, 0, "read"),
		asm.FnGetCurrentTask.Call(),
		asm.StoreMem(asm.R6, 0, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("read"),
		asm.Mov.Imm(asm.R2, memoryChunk),
		asm.Mov.Reg(asm.R3, asm.R7),
		asm.FnProbeReadKernel.Call(),
		asm.Return(),
	}})
	if err != nil {
		t.Skipf("cannot load a program that reads kernel memory: %v", err)
	}
	t.Cleanup(func() { p.Close() })
	bs, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("cannot read the kernel's BTF: %v", err)
	}
	return &kernelMemory{t, bs, p, m}
}

func (k *kernelMemory) read(addr uint64, n int) []byte {
	k.t.Helper()
	var out []byte
	for len(out) < n {
		ret, err := k.prog.Run(&ebpf.RunOptions{Context: binary.LittleEndian.AppendUint64(nil, addr+uint64(len(out)))})
		if err != nil || ret != 0 {
			k.t.Skipf("cannot read kernel memory at %#x: %d, %v", addr, int32(ret), err)
		}
		chunk := make([]byte, memoryChunk)
		if err := k.value.Lookup(uint32(0), &chunk); err != nil {
			k.t.Fatal(err)
		}
		out = append(out, chunk...)
	}
	return out[:n]
}

func (k *kernelMemory) u64(addr uint64) uint64 { return binary.LittleEndian.Uint64(k.read(addr, 8)) }
func (k *kernelMemory) u32(addr uint64) uint32 { return binary.LittleEndian.Uint32(k.read(addr, 4)) }

// at returns addr plus the field's offset.
func (k *kernelMemory) at(addr uint64, typ, field string) uint64 {
	k.t.Helper()
	off, _, err := types.FieldOffset(k.btf, typ, field)
	if err != nil {
		k.t.Fatal(err)
	}
	return addr + uint64(off)
}

// vmlinux returns the address of the kernel's own struct btf.
func (k *kernelMemory) vmlinux() uint64 {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sched_switch", License: "GPL",
		Instructions: exit(0),
	})
	if err != nil {
		k.t.Skipf("cannot load a tp_btf program: %v", err)
	}
	k.t.Cleanup(func() { p.Close() })
	task := k.u64(0)
	files := k.u64(k.at(task, "task_struct", "files"))
	fds := k.u64(k.at(k.u64(k.at(files, "files_struct", "fdt")), "fdtable", "fd"))
	prog := k.u64(k.at(k.u64(fds+8*uint64(p.FD())), "file", "private_data"))
	aux := k.u64(k.at(prog, "bpf_prog", "aux"))
	return k.u64(k.at(aux, "bpf_prog_aux", "attach_btf"))
}

func (k *kernelMemory) typeName(id uint32) string {
	t, err := k.btf.TypeByID(btf.TypeID(id))
	if err != nil {
		k.t.Fatal(err)
	}
	return t.TypeName()
}

type registered struct {
	Flags string
	Hooks []string
}

func TestKernelKfuncs(t *testing.T) {
	needKernel(t)
	k := newKernelMemory(t)
	vmlinux := k.vmlinux()

	var hooks *btf.Enum
	if err := k.btf.TypeByName("btf_kfunc_hook", &hooks); err != nil {
		t.Fatal(err)
	}
	got := map[string]*registered{}
	for typ, err := range k.btf.All() {
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := typ.(*btf.Func); ok && slices.Contains(f.Tags, "bpf_kfunc") {
			got[f.Name] = &registered{}
		}
	}
	tab := k.u64(k.at(vmlinux, "btf", "kfunc_set_tab"))
	var modReturn []string
	for i, h := range hooks.Values[:len(hooks.Values)-1] {
		name := strings.ToLower(strings.TrimPrefix(h.Name, "BTF_KFUNC_HOOK_"))
		set := k.u64(k.at(tab, "btf_kfunc_set_tab", "sets") + 8*uint64(i))
		n := k.u32(k.at(set, "btf_id_set8", "cnt"))
		pairs := k.read(k.at(set, "btf_id_set8", "pairs"), 8*int(n))
		for ; len(pairs) > 0; pairs = pairs[8:] {
			fn := k.typeName(binary.LittleEndian.Uint32(pairs))
			r := got[fn]
			if name == "fmodret" {
				modReturn = append(modReturn, fn)
			}
			if r == nil {
				if name != "fmodret" {
					t.Errorf("%s is registered and not tagged", fn)
				}
				continue
			}
			r.Flags = spec.KfuncFlags(binary.LittleEndian.Uint32(pairs[4:])).String()
			if name != "fmodret" && !slices.Contains(r.Hooks, name) {
				r.Hooks = append(r.Hooks, name)
			}
		}
	}
	want := map[string]*registered{}
	for _, f := range spec.Kfuncs() {
		want[f.Name] = &registered{f.Flags.String(), f.Hooks}
		var fn *btf.Func
		if err := k.btf.TypeByName(f.Name, &fn); err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		if c := types.Declare(fn.Type, f.Name); c != f.Signature {
			t.Errorf("%s: the kernel has %s, the table %s", f.Name, c, f.Signature)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("registered kfuncs (-table +kernel):\n%s", diff)
	}
	slices.Sort(modReturn)
	if diff := cmp.Diff(spec.FmodRetTargets(), modReturn); diff != "" {
		t.Errorf("fmod_ret targets (-table +kernel):\n%s", diff)
	}

	dtors := k.u64(k.at(vmlinux, "btf", "dtor_kfunc_tab"))
	n := k.u32(k.at(dtors, "btf_id_dtor_kfunc_tab", "cnt"))
	pairs := k.read(k.at(dtors, "btf_id_dtor_kfunc_tab", "dtors"), 8*int(n))
	for ; len(pairs) > 0; pairs = pairs[8:] {
		of, fn := k.typeName(binary.LittleEndian.Uint32(pairs)), k.typeName(binary.LittleEndian.Uint32(pairs[4:]))
		if got := spec.KptrDtor(of); got != fn {
			t.Errorf("%s pointers are released by %s, the table says %q", of, fn, got)
		}
	}
}

// Which program types may call which kfuncs: a call without arguments is refused
// with one text when it is not allowed, and with another or not at all when it is.
func TestKernelKfuncCallers(t *testing.T) {
	needKernel(t)
	bs, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("cannot read the kernel's BTF: %v", err)
	}
	type caller struct {
		typ    spec.ProgType
		attach spec.AttachType
	}
	tries := []caller{
		{spec.ProgKprobe, spec.AttachTraceKprobeMulti},
		{spec.ProgKprobe, spec.AttachTraceKprobeSession},
		{spec.ProgKprobe, spec.AttachTraceUprobeSession},
		{spec.ProgTracing, spec.AttachTraceIter},
	}
	for _, c := range tried {
		tries = append(tries, caller{c.typ, c.attach[0]})
	}
	// One of those that are registered alike speaks for all: TestKernelKfuncs has
	// compared how they are registered.
	ids := map[string]btf.TypeID{}
	alike := map[string]bool{}
	for _, k := range spec.Kfuncs() {
		key := fmt.Sprint(k.Hooks, k.OnlyTypes, k.OnlyAttach)
		if alike[key] || k.Name == "__bpf_trap" {
			// The trap makes the verifier report a bug of its own, with a warning in the
			// kernel's log.
			continue
		}
		alike[key] = true
		var fn *btf.Func
		if err := bs.TypeByName(k.Name, &fn); err != nil {
			t.Fatal(err)
		}
		if ids[k.Name], err = bs.TypeID(fn); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range tries {
		for _, name := range slices.Sorted(maps.Keys(ids)) {
			err := load(c.typ, c.attach, "GPL", append(asm.Instructions{{
				OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: int64(ids[name]),
			}}, exit(1)...))
			text := ""
			if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
				text = strings.Join(ve.Log, "\n")
			}
			if err != nil && text == "" {
				t.Fatalf("%s in %s: %v", name, c.typ, err)
			}
			if strings.Contains(text, "device-bound") {
				continue // asked before the set is looked at
			}
			allowed := !strings.Contains(text, "is not allowed") || !strings.Contains(text, "calling kernel function")
			if want := spec.KfuncByName(name).Allowed(c.typ, c.attach); allowed != want {
				t.Errorf("%s in %s attached %s: the kernel says %v, the table %v", name, c.typ, c.attach, allowed, want)
			}
		}
	}
}
