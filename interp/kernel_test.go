package interp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"bpfvm/isa"
	"bpfvm/vm"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// childEnv makes the test binary serve kernel runs instead of testing.
const childEnv = "BPFVM_INTERP_KERNEL_CHILD"

// valueSize is the map value that programs work on: the pattern, then R0 to R7.
const valueSize = 64 + 8*8

// kernelJob is a program for the child: a socket filter on a map value, or with a
// packet a tc classifier.
type kernelJob struct {
	Slots, Packet []byte
}

// kernelResult is one answer of the child, a line of JSON.
type kernelResult struct {
	Index  int
	Err    string // refused to load, or not permitted
	Denied bool
	Ret    uint32
	Memory []byte
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		serveKernel()
		return
	}
	os.Exit(m.Run())
}

// serveKernel loads and runs the programs on standard input. The kernel may hang or
// kill the thread, hence the process of its own.
func serveKernel() {
	var jobs []kernelJob
	if err := gob.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		os.Exit(3)
	}
	out := json.NewEncoder(os.Stdout)
	for i, job := range jobs {
		r := kernelRun(job)
		r.Index = i
		out.Encode(r)
		if r.Denied {
			return
		}
	}
}

func kernelRun(job kernelJob) (r kernelResult) {
	slots := job.Slots
	values, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: valueSize, MaxEntries: 1})
	if err != nil {
		return kernelResult{Err: err.Error(), Denied: true}
	}
	defer values.Close()
	if err := values.Put(uint32(0), append(pattern(), make([]byte, valueSize-64)...)); err != nil {
		return kernelResult{Err: err.Error(), Denied: true}
	}
	for at := 0; at < len(slots); at += 8 {
		if slots[at] == byte(isa.OpLdImm64) && isa.Pseudo(slots[at+1]>>4) == isa.PseudoMapValue {
			binary.LittleEndian.PutUint32(slots[at+4:], uint32(values.FD()))
			binary.LittleEndian.PutUint32(slots[at+12:], 0)
		}
	}
	insns, err := asm.AppendInstructions(nil, bytes.NewReader(slots), binary.LittleEndian, "linux")
	if err != nil {
		return kernelResult{Err: err.Error()}
	}
	kind, data := ebpf.SocketFilter, make([]byte, 64)
	if job.Packet != nil {
		kind, data = ebpf.SchedCLS, job.Packet
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: kind, Instructions: insns, License: "GPL"})
	if err != nil {
		return kernelResult{Err: err.Error()}
	}
	defer prog.Close()
	ret, err := prog.Run(&ebpf.RunOptions{Data: data})
	if err != nil {
		return kernelResult{Err: err.Error(), Denied: true}
	}
	memory, err := values.LookupBytes(uint32(0))
	if err != nil {
		return kernelResult{Err: err.Error()}
	}
	return kernelResult{Ret: ret, Memory: memory}
}

// kernelProgram is a random program that a verifier can accept: no way back, the
// stack written before it is read, memory inside the map value. At the end it stores
// R0 to R7 behind the pattern.
func kernelProgram(g *generator) isa.Program {
	g.noLoops = true
	for r := isa.R0; r <= isa.R7; r++ {
		g.emit(constant(r, pick(g, edges...))...)
	}
	p := constant(isa.R8, g.base)
	p[0].Regs = isa.MakeRegs(isa.R8, isa.Register(isa.PseudoMapValue))
	g.emit(p...)
	g.fillStack()
	start := len(g.insns)
	g.body(g.IntN(30) + 5)
	end := len(g.insns)
	for r := isa.R0; r <= isa.R7; r++ {
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.R8, r), Off: 64 + 8*int16(r)})
	}
	g.emit(exit)
	g.bound(start, end+1)
	if len(g.calls) > 0 {
		f := len(g.insns)
		g.deep = true
		g.emit(small(isa.R0, 1))
		g.refill()
		g.fillStack()
		start := len(g.insns)
		g.body(g.IntN(10) + 1)
		g.emit(exit)
		g.bound(start, len(g.insns))
		for _, c := range g.calls {
			g.insns[c].Imm = int32(f - c - 1)
		}
	}
	return g.insns
}

// fillStack writes the part of the frame that bodies use.
func (g *generator) fillStack() {
	for off := int16(-64); off < 0; off += 8 {
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassST, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.FP, 0), Off: off, Imm: g.imm()})
	}
}

// Both loops give what the running kernel gives, for every random program that it
// accepts: all registers and all memory.
func TestAgainstKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a Linux kernel")
	}
	count := 1500
	if testing.Short() {
		count = 100
	}
	b := newBench(t)
	value := b.alloc(t, vm.Spec{Kind: vm.RegionMapValue, Name: "v", Elem: valueSize, Count: 1, Perm: vm.PermRW})
	jobs := make([]kernelJob, count)
	for i := range jobs {
		jobs[i].Slots = isa.Encode(kernelProgram(newGenerator(uint64(i), value.Base, 0)))
	}
	accepted := 0
	refusals := map[string]int{}
	for _, r := range runKernelChild(t, jobs) {
		if r.Denied {
			t.Skipf("bpf(2) cannot run programs here: %s", r.Err)
		}
		if r.Err != "" {
			refusals[refusal(r.Err)]++
			continue
		}
		accepted++
		insns, err := isa.Decode(jobs[r.Index].Slots)
		if err != nil {
			t.Fatal(err)
		}
		compareKernel(t, b, value, insns, r)
	}
	t.Logf("%d of %d programs were accepted; refusals: %v", accepted, count, refusals)
	if accepted < count/4 {
		t.Errorf("only %d of %d programs were accepted", accepted, count)
	}
}

// digits are what differs between refusals of the same kind.
var digits = regexp.MustCompile(`[0-9]+`)

// refusal shortens a verifier error to its kind.
func refusal(s string) string {
	s, _, _ = strings.Cut(s, " (")
	return digits.ReplaceAllString(s, "N")
}

// compareKernel runs a program on both loops beside a result of the kernel.
func compareKernel(t *testing.T, b *bench, value *vm.Region, insns isa.Program, r kernelResult) {
	t.Helper()
	code := &vm.Code{Name: "random", Insns: insns}
	for _, e := range engines {
		mem := b.mem.Raw(value.Base, valueSize)
		clear(mem)
		copy(mem, pattern())
		x, err := b.run(t, e, code)
		if err != nil {
			t.Errorf("program %d on %s: %v", r.Index, e.Name(), err)
			continue
		}
		if uint32(x.R0) != r.Ret || !bytes.Equal(mem, r.Memory) {
			var text bytes.Buffer
			isa.Disassemble(&text, insns, isa.Printer{Slots: true})
			t.Errorf("program %d on %s: r0 %#x, kernel %#x; memory\n%x, kernel\n%x\n%s",
				r.Index, e.Name(), x.R0, r.Ret, mem, r.Memory, &text)
		}
	}
}

// LD_ABS and LD_IND at every offset of a packet and beyond.
func TestPacketLoadsAgainstKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a Linux kernel")
	}
	b := newBench(t)
	var jobs []kernelJob
	for _, form := range isa.Ops() {
		if form.Opcode.Class() != isa.ClassLD || form.IsWide() {
			continue
		}
		offs := []int32{-1, -5, -0x80000, -0x100001, -0x180000, -0x200001, -0x7ffffff0, 0x7ffffff0}
		for off := range int32(66) {
			offs = append(offs, off)
		}
		for _, off := range offs {
			load := raw(&form, 0, isa.R7, 0, off-3)
			if form.Opcode.Mode() == isa.ModeABS {
				load = raw(&form, 0, isa.R7, 0, off)
			}
			p := prog(move(isa.R6, isa.R1), small(isa.R7, 3), load,
				isa.Instruction{Op: isa.ALUOp(isa.ClassALU, isa.CodeXor, isa.SrcK), Imm: 0x55}, exit)
			jobs = append(jobs, kernelJob{isa.Encode(p), b.mem.Raw(b.pkt.Start, 60)})
		}
	}
	for _, r := range runKernelChild(t, jobs) {
		if r.Denied {
			t.Skipf("bpf(2) cannot run programs here: %s", r.Err)
		}
		if r.Err != "" {
			t.Errorf("job %d: %s", r.Index, r.Err)
			continue
		}
		insns, err := isa.Decode(jobs[r.Index].Slots)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range engines {
			x, err := b.run(t, e, &vm.Code{Name: "packet", Insns: insns})
			if err != nil || uint32(x.R0) != r.Ret {
				t.Errorf("job %d on %s: r0 %#x, %v; kernel %#x", r.Index, e.Name(), x.R0, err, r.Ret)
			}
		}
	}
}

// runKernelChild gives the jobs to a child process with a deadline and returns
// what it has answered by then.
func runKernelChild(t *testing.T, jobs []kernelJob) (results []kernelResult) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	var input bytes.Buffer
	if err := gob.NewEncoder(&input).Encode(jobs); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = &input
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r kernelResult
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			break
		}
		results = append(results, r)
	}
	if err != nil {
		t.Logf("the kernel child ended after %d programs: %v", len(results), err)
	}
	if len(results) == 0 {
		t.Skip("the kernel child gave no results")
	}
	return results
}
