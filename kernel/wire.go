package kernel

import (
	"errors"
	"fmt"
	"time"

	"bpfvm/spec"
)

// The pipes to and from the worker carry gob streams: a hello, then requests in
// one direction and, for each, answers in the other, of which the last is not a
// step. Both ends are the same binary, so the form needs no versions.

// hello is the worker's first word.
type hello struct {
	TID     int  // the thread that asks the kernel
	CPUs    int  // possible CPUs
	Network bool // in a network namespace of its own
	Release string
	Failure *failure
}

// request asks for a load, for runs or for the status.
type request struct {
	Load   *wireJob
	Inputs []Input
	Run    bool
	Status bool
	Attach *wireAttach
	Hook   string // for the package's tests: what to do first
}

// answer is a step of the work, so that the other side knows what a lost worker
// was doing, or its result.
type answer struct {
	Step    string
	Load    *LoadResult
	Runs    []RunResult
	Maps    []MapDump
	Count   runCount
	Status  *Status
	Failure *failure

	Attached *AttachOutcome
}

// runCount is what the kernel counted.
type runCount struct {
	Runs, Misses uint64
	Time         time.Duration
}

// failure is an error that is neither a verdict nor the worker's end.
type failure struct {
	Missing, Op, Note string // of a PrivilegeError
	What              string
	Errno             spec.Errno
	Unsupported       bool
}

func (f *failure) err() error {
	switch {
	case f == nil:
		return nil
	case f.Missing != "":
		return &PrivilegeError{Missing: f.Missing, Op: f.Op, Note: f.Note}
	case f.Unsupported:
		return &UnsupportedError{What: f.What}
	case f.Errno != 0:
		return fmt.Errorf("%s: %w", f.What, f.Errno)
	}
	return errors.New(f.What)
}

// wireJob is a job with all names resolved to indexes.
type wireJob struct {
	Maps  []*spec.MapSpec // in the order of the collection
	Progs []wireProg      // the first is the job's; the others stand in prog arrays
	BTF   []byte          // sanitised; nil for none

	Log        LogLevel
	MaxLog     uint32
	Want       Want
	Fresh      bool
	MaxEntries int

	Unprivileged bool
}

// wireProg is a program whose instructions lack nothing but numbers that only the
// running kernel gives.
type wireProg struct {
	Name     string
	Type     spec.ProgType
	Attach   spec.AttachType
	AttachTo string
	Flags    uint32
	License  string
	Version  uint32
	Insns    []byte // slots in the wire's form
	Maps     []mapFixup
	Kernel   []kernelFixup
	FuncInfo []byte // struct bpf_func_info records
	LineInfo []byte // struct bpf_line_info records
	Funcs    []string
}

// mapFixup puts a map's descriptor into the immediate at a slot.
type mapFixup struct {
	PC  uint32
	Map int // index in wireJob.Maps
}

// kernelFixup puts a kernel symbol's BTF id or address into the immediate at a
// slot.
type kernelFixup struct {
	PC   uint32
	Kind fixupKind
	Name string
	Weak bool
}

type fixupKind uint8

const (
	fixKfuncCall fixupKind = iota // BTF id of a function, into a call
	fixKsymBTF                    // BTF id of a variable, into a wide instruction
	fixKsymAddr                   // address of a symbol, into a wide instruction
	fixKfuncAddr                  // whether a function is there, into a wide instruction
)

// defaults of a job.
const (
	defaultMaxLog     = 64 << 20
	defaultMaxEntries = 1 << 16
	defaultDeadline   = time.Minute
)

// How a worker knows that it is one: the variable is set and these descriptors are
// pipes.
const (
	workerEnv    = "BPFVM_KERNEL_WORKER"
	workerCPUEnv = "BPFVM_KERNEL_WORKER_CPU"
	workerIn     = 3
	workerOut    = 4
)
