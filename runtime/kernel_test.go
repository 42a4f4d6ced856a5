package runtime_test

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

// The real kernel is asked in a child process: a program that makes the kernel's
// verifier fail takes the loading thread with it, and the child then ends at its
// deadline.

// kernelJob is what the child does: create maps, apply operations to the first of
// them, load and run a program, read the maps back.
type kernelJob struct {
	Maps    []spec.MapSpec
	Objects []spec.MapSpec // maps that maps of maps can hold: see mapOp.Object
	Sockets []string       // or sockets, by kind: see newSocket
	Ops     []mapOp
	Insns   isa.Program // maps are wide instructions with the map's index as imm
	Kfuncs  map[isa.PC]string
	Type    spec.ProgType
	License string
	Inputs  [][]byte // packets, or contexts of syscall programs
	NoElems bool     // do not read the maps' elements
	Read    bool     // read the records of ring buffers and perf event arrays
}

// mapOp is one operation of user space on a map.
type mapOp struct {
	Op         string // lookup, update, delete, next, take (lookup and delete)
	Key, Value []byte
	Flags      uint64
	// Keys and Values are those of batch_update and batch_delete; N is the room of
	// batch_lookup and batch_take.
	Keys, Values [][]byte
	N            int
	// Object says that the value is one of the job's objects, counted from 1, or a bad
	// one; KeyObject says it of the key.
	Object, KeyObject int
}

// opResult is what came of it.
type opResult struct {
	Errno spec.Errno
	Out   []byte // value or key
}

func (r opResult) String() string {
	if r.Errno != 0 {
		return r.Errno.String()
	}
	return fmt.Sprintf("ok %x", r.Out)
}

// kernelAnswer is what the child found.
type kernelAnswer struct {
	CPUs    int
	MapErrs []spec.Errno // of creation
	Ops     []opResult
	LoadErr string
	Runs    []kernelRun
	Elems   []map[string][]byte // of the maps at the end
}

type kernelRun struct {
	R0  uint32
	Out []byte // packet, or context of syscall programs
	Err string
	// Records are what the run sent to user space; those of perf event arrays with
	// the kernel's padding.
	Records [][]byte
}

const childEnv = "BPFVM_TEST_KERNEL_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := kernelChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// askKernel runs a job in a child, or skips the test where there is no kernel to
// ask.
func askKernel(t testing.TB, job kernelJob) kernelAnswer {
	t.Helper()
	if goruntime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs bpf(2): Linux and root")
	}
	if testing.Short() {
		t.Skip("each question to the kernel starts a process, which takes long under the race detector: run without -short")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var in, out, stderr bytes.Buffer
	if err := gob.NewEncoder(&in).Encode(job); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &stderr
	cmd.WaitDelay = time.Second
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil {
		if bytes.Contains(stderr.Bytes(), []byte("operation not permitted")) {
			t.Skipf("needs bpf(2): %s", stderr.Bytes())
		}
		t.Fatalf("kernel: %v\n%s", err, stderr.Bytes())
	}
	var a kernelAnswer
	if err := gob.NewDecoder(&out).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// kernelChild does a job that stands on its standard input.
func kernelChild() error {
	goruntime.LockOSThread()
	if err := pinToCPU(0); err != nil {
		return err
	}
	var job kernelJob
	if err := gob.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return err
	}
	a := kernelAnswer{CPUs: ebpf.MustPossibleCPU()}
	var maps []*ebpf.Map
	var objects []kernelObject
	for i := range job.Objects {
		m, err := ebpf.NewMap(kernelSpec(&job.Objects[i]))
		if err != nil {
			return err
		}
		info, err := m.Info()
		if err != nil {
			return err
		}
		id, _ := info.ID()
		objects = append(objects, kernelObject{uint32(m.FD()), uint64(id)})
	}
	for _, kind := range job.Sockets {
		o, err := newSocket(kind)
		if err != nil {
			return err
		}
		objects = append(objects, o)
	}
	for _, s := range job.Maps {
		m, err := ebpf.NewMap(kernelSpec(&s))
		if errors.Is(err, syscall.EPERM) {
			return err
		}
		a.MapErrs = append(a.MapErrs, errnoOf(err))
		maps = append(maps, m)
		for _, kv := range s.Contents {
			if kv.Map != "" {
				continue
			}
			if err := m.Put(kv.Key, kv.Value); err != nil {
				return err
			}
		}
		if s.Frozen {
			if err := m.Freeze(); err != nil {
				return err
			}
		}
	}
	for i, s := range job.Maps {
		for _, kv := range s.Contents {
			inner := slices.IndexFunc(job.Maps, func(m spec.MapSpec) bool { return m.Name == kv.Map })
			if kv.Map == "" || inner < 0 {
				continue
			}
			if err := maps[i].Put(kv.Key, uint32(maps[inner].FD())); err != nil {
				return err
			}
		}
	}
	for _, op := range job.Ops {
		a.Ops = append(a.Ops, kernelObjectOp(maps[0], job.Maps[0], op, a.CPUs, objects))
	}
	if len(job.Insns) > 0 {
		if err := kernelRuns(&job, maps, &a); err != nil {
			return err
		}
	}
	for i, m := range maps {
		if job.NoElems {
			break
		}
		a.Elems = append(a.Elems, kernelElems(m, job.Maps[i], a.CPUs))
	}
	return gob.NewEncoder(os.Stdout).Encode(a)
}

// kernelElems reads the elements of a map, values in the shape of runtime.Map.
func kernelElems(m *ebpf.Map, s spec.MapSpec, cpus int) map[string][]byte {
	elems := map[string][]byte{}
	if m == nil || s.KeySize == 0 || s.Type == spec.MapProgArray || s.Type == spec.MapPerfEventArray {
		return elems
	}
	key := make([]byte, s.KeySize)
	for err := m.NextKey(nil, key); err == nil; err = m.NextKey(bytes.Clone(key), key) {
		elems[string(key)] = kernelOp(m, s, mapOp{Op: "lookup", Key: key}, cpus).Out
	}
	return elems
}

// kernelSpec is the map as cilium/ebpf creates it.
func kernelSpec(s *spec.MapSpec) *ebpf.MapSpec {
	ms := &ebpf.MapSpec{
		Type: ebpf.MapType(s.Type), KeySize: s.KeySize, ValueSize: s.ValueSize,
		MaxEntries: s.MaxEntries, Flags: uint32(s.Flags), MapExtra: s.Extra,
	}
	if s.KeyTypeID != 0 && s.ValueTypeID != 0 {
		ms.Key = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
		ms.Value = &btf.Array{Index: ms.Key, Type: &btf.Int{Name: "char", Size: 1}, Nelems: s.ValueSize}
	}
	if s.Section == lockedValues {
		ms.Key, ms.Value = btfInt, lockedValue
	}
	if s.Inner != nil {
		ms.InnerMap = kernelSpec(s.Inner)
	}
	return ms
}

// kernelObject is something that user space names by a file descriptor, and reads
// back as a number.
type kernelObject struct {
	fd uint32
	id uint64
}

// noObject is the number of nothing, here and in the kernel.
const noObject = 1<<31 - 1

// kernelObjectOp is kernelOp for maps whose values or keys are file descriptors on the
// way in and ids on the way out: all become numbers of objects.
func kernelObjectOp(m *ebpf.Map, s spec.MapSpec, op mapOp, cpus int, objects []kernelObject) opResult {
	fd := func(size uint32, number int) []byte {
		b := make([]byte, size)
		binary.LittleEndian.PutUint32(b, noObject)
		if number > 0 && number <= len(objects) {
			binary.LittleEndian.PutUint32(b, objects[number-1].fd)
		}
		return b
	}
	if op.KeyObject != 0 {
		op.Key = fd(s.KeySize, op.KeyObject)
		return kernelOp(m, s, op, cpus)
	}
	if op.Object == 0 {
		return kernelOp(m, s, op, cpus)
	}
	op.Value = fd(s.ValueSize, op.Object)
	res := kernelOp(m, s, op, cpus)
	if res.Errno != 0 || op.Op != "lookup" {
		return res
	}
	id := uint64(binary.LittleEndian.Uint32(res.Out))
	if len(res.Out) == 8 {
		id = binary.LittleEndian.Uint64(res.Out)
	}
	for i, o := range objects {
		if o.id == id {
			return opResult{Out: append(binary.LittleEndian.AppendUint32(nil, uint32(i+1)), make([]byte, len(res.Out)-4)...)}
		}
	}
	return opResult{Out: []byte("unknown object")}
}

func kernelOp(m *ebpf.Map, s spec.MapSpec, op mapOp, cpus int) opResult {
	var key any // nil for maps without keys
	if op.Key != nil {
		key = op.Key
	}
	if strings.HasPrefix(op.Op, "batch_") {
		return kernelBatch(m, s, op, cpus)
	}
	switch op.Op {
	case "lookup", "take":
		lookup, flags := m.LookupWithFlags, ebpf.MapLookupFlags(op.Flags)
		if op.Op == "take" {
			lookup = m.LookupAndDeleteWithFlags
		}
		if !s.Type.PerCPU() {
			out := make([]byte, s.ValueSize)
			if s.Type == spec.MapBloomFilter {
				copy(out, op.Value)
			}
			return result(out, lookup(key, out, flags))
		}
		vals := make([][]byte, cpus)
		err := lookup(key, &vals, flags)
		var all []byte
		for _, v := range vals {
			all = append(all, v...)
			all = append(all, make([]byte, -len(v)&7)...)
		}
		return result(all, err)
	case "update":
		if !s.Type.PerCPU() {
			return result(nil, m.Update(key, op.Value, ebpf.MapUpdateFlags(op.Flags)))
		}
		stride := (int(s.ValueSize) + 7) &^ 7
		vals := make([][]byte, cpus)
		for i := range vals {
			vals[i] = op.Value[i*stride:][:s.ValueSize]
		}
		return result(nil, m.Update(key, vals, ebpf.MapUpdateFlags(op.Flags)))
	case "delete":
		return result(nil, m.Delete(key))
	default:
		out := make([]byte, s.KeySize)
		return result(out, m.NextKey(key, out))
	}
}

func result(out []byte, err error) opResult {
	if err != nil {
		return opResult{Errno: errnoOf(err)}
	}
	return opResult{Out: out}
}

// errnoOf digs the number out of an error of cilium/ebpf; -1 is none of the
// kernel's.
func errnoOf(err error) spec.Errno {
	if err == nil {
		return 0
	}
	if n, ok := errors.AsType[syscall.Errno](err); ok {
		return spec.Errno(n)
	}
	return -1
}

// kernelRuns loads the program and runs it on each input.
func kernelRuns(job *kernelJob, maps []*ebpf.Map, a *kernelAnswer) error {
	code := slices.Clone(job.Insns)
	for pc, ins := range job.Insns.All() {
		if p := isa.Pseudo(ins.Src()); ins.IsWide() && (p == isa.PseudoMapFD || p == isa.PseudoMapValue) {
			code[pc].Imm = int32(maps[ins.Imm].FD())
		}
	}
	if len(job.Kfuncs) > 0 {
		if err := linkKfuncs(code, job.Kfuncs); err != nil {
			return err
		}
	}
	list, err := asm.AppendInstructions(nil, bytes.NewReader(isa.Encode(code)), binary.LittleEndian, "linux")
	if err != nil {
		return err
	}
	ps := &ebpf.ProgramSpec{Type: ebpf.ProgramType(job.Type), Instructions: list, License: job.License}
	if job.Type == spec.ProgSyscall {
		ps.Flags = 1 << 4 // BPF_F_SLEEPABLE
	}
	prog, err := ebpf.NewProgram(ps)
	if err != nil {
		if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
			a.LoadErr = fmt.Sprintf("%+v", ve)
		} else {
			a.LoadErr = err.Error()
		}
		return nil
	}
	defer prog.Close()
	var readers []func() ([]byte, bool)
	for i, m := range maps {
		if !job.Read {
			break
		}
		read, err := recordReader(m, job.Maps[i].Type)
		if err != nil {
			return err
		}
		if read != nil {
			readers = append(readers, read)
		}
	}
	for _, in := range job.Inputs {
		opts := &ebpf.RunOptions{}
		if job.Type == spec.ProgSyscall {
			opts.Context, opts.ContextOut = in, bytes.Clone(in)
		} else {
			opts.Data, opts.DataOut = in, make([]byte, len(in)+32768)
		}
		r0, err := prog.Run(opts)
		run := kernelRun{R0: r0}
		switch {
		case err != nil:
			run.Err = err.Error()
		case job.Type == spec.ProgSyscall:
			run.Out, _ = opts.ContextOut.([]byte)
		default:
			run.Out = opts.DataOut
		}
		for _, read := range readers {
			for rec, ok := read(); ok; rec, ok = read() {
				run.Records = append(run.Records, rec)
			}
		}
		a.Runs = append(a.Runs, run)
	}
	return nil
}

// linkKfuncs gives calls of kernel functions the host's BTF ids.
func linkKfuncs(code isa.Program, names map[isa.PC]string) error {
	host, err := btf.LoadKernelSpec()
	if err != nil {
		return err
	}
	for pc, name := range names {
		var fn *btf.Func
		if err := host.TypeByName(name, &fn); err != nil {
			return err
		}
		id, err := host.TypeID(fn)
		if err != nil {
			return err
		}
		code[pc].Imm = int32(id)
	}
	return nil
}

// assemble makes a collection of assembler text: see package isa.
func assemble(t testing.TB, src string) *spec.CollectionSpec {
	t.Helper()
	unit, err := isa.Assemble(t.Name(), []byte(src), isa.Options{HelperID: func(name string) (int32, bool) {
		h := spec.HelperByName(name)
		if h == nil {
			return 0, false
		}
		return int32(h.ID), true
	}})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := elf.Write(unit)
	if err != nil {
		t.Fatal(err)
	}
	cs, err := elf.LoadReader(bytes.NewReader(obj), int64(len(obj)), elf.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// jobFor makes the kernel's job out of a collection with one program.
func jobFor(cs *spec.CollectionSpec, inputs ...[]byte) kernelJob {
	p := cs.Programs[0]
	job := kernelJob{Type: p.Type, License: p.License, Insns: slices.Clone(p.Insns), Inputs: inputs}
	index := map[string]int32{}
	for i, m := range cs.Maps {
		index[m.Name] = int32(i)
		job.Maps = append(job.Maps, spec.MapSpec{
			Name: m.Name, Type: m.Type, KeySize: m.KeySize, ValueSize: m.ValueSize, MaxEntries: m.MaxEntries, Flags: m.Flags,
			Extra: m.Extra, Inner: m.Inner, Contents: m.Contents, Frozen: m.Frozen,
		})
	}
	job.Kfuncs = map[isa.PC]string{}
	for _, r := range p.Refs {
		if r.Kind == spec.RefKfunc {
			job.Kfuncs[r.PC] = r.Name
			continue
		}
		job.Insns[r.PC].Imm = index[r.Name]
		job.Insns[r.PC+1].Imm = int32(r.Off)
	}
	return job
}
