package runtime_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
	"bpfvm/vm"
)

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, src   string
		want        string // the whole error
		unsupported bool
		errno       spec.Errno
	}{
		{"gpl", ".license \"MIT\"\n.program p kprobe/f\n\tr0 = 0\n\tcall bpf_get_current_task\n\texit",
			"p insn 1 (0x85): cannot call GPL-restricted function from non-GPL compatible program (bpf_get_current_task, license \"MIT\")",
			false, spec.EINVAL},
		{"not for the type", ".license \"GPL\"\n.program p kprobe/f\n\tcall bpf_xdp_adjust_head\n\texit",
			"p insn 0 (0x85): program of this type cannot use helper bpf_xdp_adjust_head#44", false, spec.EINVAL},
		{"no such helper", ".program p xdp\n\tcall 9999\n\texit",
			"p insn 0 (0x85): invalid func unknown#9999", false, spec.EINVAL},
		{"helpers that are missing, all of them", ".license \"GPL\"\n.program p xdp\n\tcall bpf_tcp_check_syncookie\n\tcall bpf_xdp_adjust_head\n\tcall bpf_tcp_gen_syncookie\n\texit",
			"p insn 0 (0x85): helper bpf_tcp_check_syncookie#100 is not supported\np insn 2 (0x85): helper bpf_tcp_gen_syncookie#110 is not supported", true, 0},
		{"map type", ".map m type=arena key=4 value=4 max_entries=1\n.program p xdp\n\tr1 = map[m]\n\tr0 = 0\n\texit",
			"map \"m\": map type arena is not supported", true, 0},
		{"map attributes", ".map m type=array key=8 value=4 max_entries=1\n.program p xdp\n\tr1 = map[m]\n\tr0 = 0\n\texit",
			"map \"m\": create: EINVAL", false, spec.EINVAL},
		{"program type", ".license \"GPL\"\n.program p struct_ops/init\n\tr0 = 0\n\texit",
			"p: program type struct_ops is not supported", true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rt := newRuntime(t, runtime.Options{})
			_, err := rt.Load(assemble(t, tt.src))
			if err == nil || err.Error() != tt.want {
				t.Fatalf("got %v\nwant %s", err, tt.want)
			}
			if got := errors.Is(err, errors.ErrUnsupported); got != tt.unsupported {
				t.Errorf("unsupported: %v", got)
			}
			if tt.errno != 0 && !errors.Is(err, tt.errno) {
				t.Errorf("does not wrap %v", tt.errno)
			}
		})
	}
}

const mixed = `
.license "GPL"
.map good type=array key=4 value=8 max_entries=1
.map bad type=arena key=8 value=8 max_entries=1
.program works xdp
	r1 = map[good]
	r0 = 2
	exit
.program helper xdp
	r1 = map[good]
	call bpf_tcp_check_syncookie
	exit
.program maps xdp
	r1 = map[bad]
	r0 = 0
	exit
`

// One program that cannot be loaded does not spoil the others.
func TestPartialLoad(t *testing.T) {
	cs := assemble(t, mixed)
	rt := newRuntime(t, runtime.Options{})
	if _, err := rt.Load(cs); err == nil {
		t.Error("everything was loaded")
	}
	c := load(t, rt, cs, "works")
	if len(c.Programs()) != 1 || len(c.Maps()) != 1 {
		t.Errorf("%d programs, %d maps", len(c.Programs()), len(c.Maps()))
	}
	c, err := rt.LoadWith(cs, runtime.LoadOptions{SkipBroken: true})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, err := range c.Skipped {
		got[name] = err.Error()
	}
	want := map[string]string{
		"helper": "helper insn 2 (0x85): helper bpf_tcp_check_syncookie#100 is not supported",
		"maps":   "map \"bad\": map type arena is not supported",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(c.Programs()) != 1 {
		t.Errorf("%d programs, skipped: -want +got\n%s", len(c.Programs()), diff)
	}
	if _, err := rt.LoadWith(cs, runtime.LoadOptions{Programs: []string{"nobody"}}); err == nil {
		t.Error("loaded a program that does not exist")
	}
}

// A mocked helper is never missing, and a mock changes programs that run already.
func TestMock(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		if err := rt.Mock("bpf_fib_lookup", runtime.MockValue(3)); err != nil {
			t.Fatal(err)
		}
		c := load(t, rt, assemble(t, `
.license "GPL"
.program p xdp
	r2 = r10
	r2 += -64
	r3 = 64
	r4 = 0
	call bpf_fib_lookup
	r6 = r0
	call bpf_get_smp_processor_id
	r0 += r6
	exit`))
		run := func() uint64 {
			res, err := c.Program("p").Run(&runtime.XDP{Data: eth(64)})
			if err != nil || res.Trap != nil {
				t.Fatal(err, res.Trap)
			}
			return res.R0
		}
		if got := run(); got != 3 {
			t.Errorf("r0 %d", got)
		}
		n := uint64(0)
		if err := rt.Mock("get_smp_processor_id", func(*vm.Machine, [5]uint64) uint64 { n += 10; return n }); err != nil {
			t.Fatal(err)
		}
		if got := run() + run(); got != 13+23 {
			t.Errorf("r0 %d", got)
		}
		if err := rt.Mock("get_smp_processor_id", nil); err != nil {
			t.Fatal(err)
		}
		if got := run(); got != 3 {
			t.Errorf("mock removed: r0 %d", got)
		}
		if err := rt.Mock("bpf_no_such_helper", nil); err == nil {
			t.Error("mocked a helper that does not exist")
		}
	})
}

// What a program prints into an address is what the verifier's language says.
func TestLinkedAddresses(t *testing.T) {
	rt := newRuntime(t, runtime.Options{})
	c := load(t, rt, assemble(t, `
.map counts type=array key=4 value=8 max_entries=3
.rodata word "hello"
.data var 1, 2, 3, 4
.program p xdp
	r1 = map[counts]
	r2 = data[word]+1
	r3 = data[var]
	r0 = *(u8 *)(r2 +0)
	r4 = *(u32 *)(r3 +0)
	*(u32 *)(r3 +0) = 5
	*(u8 *)(r2 +0) = 1
	exit`))
	p := c.Program("p")
	var got []string
	for pc, ins := range p.Insns().All() {
		if ins.IsWide() {
			addr, _ := p.Insns().Imm64(pc)
			got = append(got, rt.Memory().Symbolize(addr))
		}
	}
	want := []string{"map(counts)", "map_value(.rodata)[0]+1", "map_value(.data)[0]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	res, err := p.Run(&runtime.XDP{Data: eth(64)})
	if err != nil || res.Trap == nil || !strings.Contains(res.Trap.Error(), "insn 9 (0x72): write of 1 bytes at map_value(.rodata)[0]+1: memory is read-only") {
		t.Errorf("%v %v", err, res.Trap)
	}
	if err := c.Map(".rodata").Update(le32(0), make([]byte, 6), 0); !errors.Is(err, spec.EPERM) {
		t.Errorf("update of frozen map: %v", err)
	}
	if v, _ := c.Map(".data").Lookup(le32(0)); v[0] != 5 {
		t.Errorf(".data %x", v)
	}
}

// Arguments that no verifier lets pass end the run with a trap that names them.
func TestHelperTraps(t *testing.T) {
	head := ".license \"GPL\"\n.map m type=hash key=4 value=8 max_entries=4\n.map rb type=ringbuf key=0 value=0 max_entries=4096\n.program p xdp\n\tr6 = r1\n"
	tests := []struct{ src, want string }{
		{"\tr1 = r10\n\tr2 = r10\n\tr2 += -4\n\tcall bpf_map_lookup_elem", "map"},
		{"\tr1 = map[m]\n\tr2 = 0\n\tcall bpf_map_lookup_elem", "NULL"},
		{"\tr1 = map[m]\n\tr2 = r10\n\tr2 += -2\n\tcall bpf_map_lookup_elem", "above the frame pointer"},
		{"\tr1 = map[rb]\n\tr2 = r10\n\tr2 += -4\n\tcall bpf_map_lookup_elem", "cannot pass map \"rb\" of type ringbuf"},
		{"\tr1 = map[m]\n\tr2 = 8\n\tr3 = 0\n\tcall bpf_ringbuf_reserve", "map \"m\" is no ring buffer"},
		{"\tr1 = map[rb]\n\tr2 = 8\n\tr3 = 0\n\tcall bpf_ringbuf_reserve\n\tr7 = r0\n\tr1 = r0\n\tr2 = 0\n\tcall bpf_ringbuf_submit\n\tr1 = r7\n\tr2 = 0\n\tcall bpf_ringbuf_submit", "reserved ring buffer record"},
		{"\tr1 = map[rb]\n\tr2 = 8\n\tr3 = 0\n\tcall bpf_ringbuf_reserve\n\tr7 = r0\n\tr1 = r0\n\tr2 = 0\n\tcall bpf_ringbuf_submit\n\t*(u8 *)(r7 +0) = 1", "ringbuf_mem(rb)"},
		{"\tr1 = map[rb]\n\tr2 = 8\n\tr3 = 0\n\tcall bpf_ringbuf_reserve\n\t*(u8 *)(r0 +8) = 1", "ringbuf_mem(rb)"},
		{"\tr1 = r6\n\tr2 = map[m]\n\tr3 = 0\n\tcall bpf_tail_call", "no prog array"},
		{"\tr1 = r10\n\tr1 += -8\n\tr2 = 1\n\tr3 = r6\n\tcall bpf_strncmp", ""},
		{"\tr1 = 2\n\tr2 = r10\n\tr3 = 0\n\tr4 = 0\n\tcall bpf_loop", "not a function"},
	}
	for _, tt := range tests {
		for _, e := range engines {
			rt := newRuntime(t, runtime.Options{Engine: e})
			c := load(t, rt, assemble(t, head+tt.src+"\n\tr0 = 0\n\texit\n"))
			res, err := c.Program("p").Run(&runtime.XDP{Data: eth(64)})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want != "" && (res.Trap == nil || !strings.Contains(res.Trap.Error(), tt.want)) {
				t.Errorf("%s:\n%s\ngot trap %v, want %s", e.Name(), tt.src, res.Trap, tt.want)
			}
		}
	}
}

// Every object of the cilium/ebpf module's testdata loads, or each of its programs
// is refused for a reason that has a name, and nothing panics.
func TestCiliumObjects(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/ebpf").Output()
	if err != nil {
		t.Skipf("needs the go command and the module cache: %v", err)
	}
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", "*-el.elf"))
	loaded, skipped := 0, 0
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			continue
		}
		cs, err := elf.Load(file, elf.Options{Target: target})
		if err != nil {
			continue // package elf has tests for what it refuses
		}
		rt := newRuntime(t, runtime.Options{Engine: interp.Fast})
		c, err := rt.LoadWith(cs, runtime.LoadOptions{SkipBroken: true})
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		for _, p := range c.Programs() {
			if _, err := p.Func(); err != nil {
				t.Logf("%s: %s: %v", filepath.Base(file), p.Name(), err)
				skipped++
				continue
			}
			loaded++
		}
		for name, err := range c.Skipped {
			if _, ok := errors.AsType[*runtime.UnsupportedError](err); !ok {
				t.Logf("%s: %s: %v", filepath.Base(file), name, err)
			}
			skipped++
		}
		rt.Close()
	}
	t.Logf("%d programs loaded, %d refused, of %d objects", loaded, skipped, len(files))
}

// Whatever instructions do to helpers, the runtime reports it and goes on.
func FuzzHelpers(f *testing.F) {
	for hook := range byte(6) {
		var seed []byte
		for helper := range byte(40) {
			seed = append(seed, helper, helper%8, 12, 20, 6, 30)
		}
		f.Add(append([]byte{hook}, seed[:180]...))
		f.Add(append([]byte{hook}, seed[120:]...))
	}
	cs := &spec.CollectionSpec{License: "GPL", Maps: []*spec.MapSpec{
		{Name: "hash", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 3},
		{Name: "array", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 3},
		{Name: "pchash", Type: spec.MapPerCPUHash, KeySize: 8, ValueSize: 12, MaxEntries: 3},
		{Name: "pcarray", Type: spec.MapPerCPUArray, KeySize: 4, ValueSize: 12, MaxEntries: 3},
		{Name: "progs", Type: spec.MapProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 3},
		{Name: "perf", Type: spec.MapPerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 3},
		{Name: "ring", Type: spec.MapRingBuf, MaxEntries: 4096},
	}}
	hooks := []struct {
		typ spec.ProgType
		in  runtime.Input
	}{
		{spec.ProgXDP, &runtime.XDP{Data: eth(60)}}, {spec.ProgXDP, &runtime.XDP{Data: eth(5000)}},
		{spec.ProgSchedCls, &runtime.SKB{Data: eth(60)}}, {spec.ProgSocketFilter, &runtime.SKB{Data: eth(60)}},
		{spec.ProgKprobe, &runtime.Kprobe{}}, {spec.ProgSyscall, &runtime.Syscall{Ctx: make([]byte, 64)}},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 2 || len(data) > 400 {
			return
		}
		hook := hooks[int(data[0])%len(hooks)]
		p, refs := fuzzProgram(hook.typ, data[1:], cs)
		one := *cs
		one.Programs = []*spec.ProgramSpec{{Name: "p", Type: hook.typ, License: "GPL", Insns: p, Funcs: []spec.Func{{Name: "p"}}, Refs: refs}}
		for _, e := range engines {
			rt, err := runtime.New(runtime.Options{Engine: e, CPUs: 2, Budget: 2000, MemCap: 8 << 20})
			if err != nil {
				t.Fatal(err)
			}
			c, err := rt.Load(&one)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := c.Programs()[0].Run(hook.in); err != nil {
					t.Fatal(err)
				}
			}
			rt.Close()
		}
	})
}

// fuzzProgram makes calls of helpers out of bytes: for each, what goes into the
// argument registers and which helper is called.
func fuzzProgram(typ spec.ProgType, data []byte, cs *spec.CollectionSpec) (p isa.Program, refs []spec.Ref) {
	mov := isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcX)
	movImm := isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK)
	addImm := isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcK)
	names := runtime.Helpers(typ)
	p = append(p, isa.Instruction{Op: mov, Regs: isa.MakeRegs(isa.R6, isa.R1)}, isa.Instruction{Op: movImm, Regs: isa.MakeRegs(isa.R7, 0)})
	for off := int16(-64); off < 0; off += 8 {
		p = append(p, isa.Instruction{Op: isa.MemOp(isa.ClassST, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.R10, 0), Off: off, Imm: int32(off)})
	}
	for len(data) >= 6 {
		for i, b := range data[1:6] {
			r := isa.R1 + isa.Register(i)
			switch b % 8 {
			case 0, 1:
				refs = append(refs, spec.Ref{PC: isa.PC(len(p)), Name: cs.Maps[int(b/8)%len(cs.Maps)].Name})
				p = append(p, isa.Instruction{Op: isa.OpLdImm64, Regs: isa.MakeRegs(r, isa.Register(isa.PseudoMapFD))}, isa.Instruction{})
			case 2:
				p = append(p, isa.Instruction{Op: mov, Regs: isa.MakeRegs(r, isa.R6)})
			case 3:
				p = append(p, isa.Instruction{Op: mov, Regs: isa.MakeRegs(r, isa.R7)})
			case 4, 5:
				p = append(p, isa.Instruction{Op: mov, Regs: isa.MakeRegs(r, isa.R10)}, isa.Instruction{Op: addImm, Regs: isa.MakeRegs(r, 0), Imm: -int32(b)})
			case 6:
				p = append(p, isa.Instruction{Op: movImm, Regs: isa.MakeRegs(r, 0), Imm: int32(b) / 8})
			default:
				p = append(p, isa.Instruction{Op: movImm, Regs: isa.MakeRegs(r, 0), Imm: 1 << (b / 8) * (int32(b&1)*2 - 1)})
			}
		}
		h := spec.HelperByName(names[int(data[0])%len(names)])
		p = append(p, isa.Instruction{Op: isa.OpCall, Imm: int32(h.ID)}, isa.Instruction{Op: mov, Regs: isa.MakeRegs(isa.R7, isa.R0)})
		data = data[6:]
	}
	return append(p, isa.Instruction{Op: movImm}, isa.Instruction{Op: isa.OpExit}), refs
}

// Broken collections are errors, not panics.
func TestBrokenSpecs(t *testing.T) {
	wide := isa.Instruction{Op: isa.OpLdImm64}
	mapRef := isa.Instruction{Op: isa.OpLdImm64, Regs: isa.MakeRegs(1, isa.Register(isa.PseudoMapFD))}
	value := isa.Instruction{Op: isa.OpLdImm64, Regs: isa.MakeRegs(1, isa.Register(isa.PseudoMapValue))}
	fn := isa.Instruction{Op: isa.OpLdImm64, Regs: isa.MakeRegs(1, isa.Register(isa.PseudoFunc)), Imm: 100}
	exit := isa.Instruction{Op: isa.OpExit}
	maps := []*spec.MapSpec{
		{Name: "two", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 2},
		{Name: "one", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		{Name: "hash", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1},
	}
	tests := []struct {
		name  string
		insns isa.Program
		refs  []spec.Ref
		want  string
	}{
		{"empty", nil, nil, "p: no instructions: EINVAL"},
		{"half a wide instruction", isa.Program{wide}, nil, "the second slot of this wide instruction is missing"},
		{"map without a name", isa.Program{mapRef, {}, exit}, nil, "the instruction refers to a map, but none is named"},
		{"no such map", isa.Program{mapRef, {}, exit}, []spec.Ref{{Name: "x"}}, "map \"x\" does not exist"},
		{"function outside", isa.Program{fn, {}, exit}, nil, "function at slot 101 is outside of the program"},
		{"value of an array of two", isa.Program{value, {}, exit}, []spec.Ref{{Kind: spec.RefMapValue, Name: "two"}}, "only arrays of one element have an address"},
		{"value of a hash", isa.Program{value, {}, exit}, []spec.Ref{{Kind: spec.RefMapValue, Name: "hash"}}, "only arrays of one element have an address"},
		{"offset outside", isa.Program{value, {}, exit}, []spec.Ref{{Kind: spec.RefMapValue, Name: "one", Off: 8}}, "direct value offset of 8 in map \"one\" of 8 bytes is not allowed"},
		{"kfunc", isa.Program{{Op: isa.OpCall, Regs: isa.MakeRegs(0, isa.Register(isa.PseudoKfuncCall))}, exit}, []spec.Ref{{Kind: spec.RefKfunc, Name: "bpf_kfunc_call_test1"}}, "kfunc bpf_kfunc_call_test1 is not supported"},
	}
	for _, tt := range tests {
		rt := newRuntime(t, runtime.Options{})
		_, err := rt.Load(&spec.CollectionSpec{Maps: maps, Programs: []*spec.ProgramSpec{{Name: "p", Type: spec.ProgXDP, Insns: tt.insns, Refs: tt.refs}}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	contents := []spec.MapKV{
		{Key: []byte{1}, Value: []byte{1}}, {Key: le32(5), Value: []byte{1}}, {Key: le32(0), Value: make([]byte, 9)}, {Key: le32(0), Map: "one"},
	}
	for _, kv := range contents {
		rt := newRuntime(t, runtime.Options{})
		m := *maps[0]
		m.Contents = []spec.MapKV{kv}
		if _, err := rt.Load(&spec.CollectionSpec{Maps: []*spec.MapSpec{&m}}); err == nil {
			t.Errorf("initial element %+v was accepted", kv)
		}
	}
	rt := newRuntime(t, runtime.Options{})
	if _, err := rt.Load(&spec.CollectionSpec{License: "GPL", Programs: []*spec.ProgramSpec{{
		Name: "p", Type: spec.ProgKprobe, Insns: isa.Program{{Op: isa.OpCall, Imm: 35}, exit},
	}}}); err != nil {
		t.Errorf("license of the collection: %v", err)
	}
	if _, err := rt.Load(&spec.CollectionSpec{Maps: []*spec.MapSpec{maps[0], maps[0]}}); !errors.Is(err, spec.EEXIST) {
		t.Errorf("two maps of one name: %v", err)
	}
}

// A weak kernel function that does not exist and a failed CO-RE relocation are
// errors only where the code is reached.
func TestPoisonedCalls(t *testing.T) {
	jump := isa.Instruction{Op: isa.JumpOp(isa.ClassJMP, isa.CodeJeq, isa.SrcK), Regs: isa.MakeRegs(0, 0), Off: 2}
	zero := isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK)}
	one := zero
	one.Imm = 1
	kfunc := isa.Instruction{Op: isa.OpCall, Regs: isa.MakeRegs(0, isa.Register(isa.PseudoKfuncCall))}
	core := isa.Instruction{Op: isa.OpCall, Imm: 195896080}
	exit := isa.Instruction{Op: isa.OpExit}
	for i, first := range []isa.Instruction{zero, one} {
		onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
			c := load(t, rt, &spec.CollectionSpec{Programs: []*spec.ProgramSpec{{
				Name: "p", Type: spec.ProgXDP, Insns: isa.Program{first, jump, kfunc, core, exit},
				Refs: []spec.Ref{{PC: 2, Kind: spec.RefKfunc, Name: "bpf_gone", Weak: true}},
			}}})
			res, err := c.Programs()[0].Run(&runtime.XDP{Data: eth(64)})
			if err != nil || (res.Trap != nil) != (i == 1) {
				t.Errorf("%v, trap %v", err, res.Trap)
			}
			if i == 1 && !strings.Contains(res.Trap.Error(), "weak kernel function") {
				t.Error(res.Trap)
			}
		})
	}
}

// All methods may be called from many goroutines.
func TestConcurrentUse(t *testing.T) {
	rt := newRuntime(t, runtime.Options{Engine: interp.Fast, CPUs: 4})
	c := load(t, rt, assemble(t, ".license \"GPL\"\n.map m type=hash key=4 value=8 max_entries=4\n.program p xdp\n"+
		mapUpdate("m", 1, 1, 0)+"\n"+mapAdd("m", 1, 1)+"\n\tr0 = 2\n\texit\n"))
	var wg sync.WaitGroup
	for cpu := range 4 {
		wg.Go(func() {
			for range 200 {
				if _, err := c.Program("p").Run(&runtime.XDP{Data: eth(60 + cpu), CPU: cpu}); err != nil {
					t.Error(err)
				}
				for range runtime.All(c.Map("m")) {
				}
				_ = c.Map("m").Delete(le32(1))
				rt.SetTask(runtime.Task{PID: uint32(cpu)})
			}
		})
	}
	wg.Wait()
}

// Task structures do not pile up.
func TestManyTasks(t *testing.T) {
	rt := newRuntime(t, runtime.Options{})
	for pid := range uint32(3000) {
		if rt.TaskAddr(pid+1) == 0 {
			t.Fatal("no address")
		}
	}
	if n := len(rt.Memory().Foreign.Segments()); n > 5000 {
		t.Errorf("%d segments", n)
	}
}
