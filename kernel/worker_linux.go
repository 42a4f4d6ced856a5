package kernel

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"bpfvm/isa"
	"bpfvm/spec"
)

// WorkerMain does the work of a worker process and does not return, if this process
// was started as one; else it returns at once. Call it first thing in main and in
// TestMain.
func WorkerMain() {
	switch os.Getenv(workerEnv) {
	case "":
		return
	case workerVM:
		vmInit()
		select {} // the machine goes off
	}
	os.Unsetenv(workerEnv)
	in, out := os.NewFile(workerIn, "requests"), os.NewFile(workerOut, "answers")
	if in == nil || out == nil {
		fmt.Fprintln(os.Stderr, "kernel worker: started without its pipes")
		os.Exit(2)
	}
	var cpu int
	fmt.Sscan(os.Getenv(workerCPUEnv), &cpu)
	go serve(in, out, cpu)
	select {} // serve ends the process
}

// testHooks are what requests of the package's tests do before their work.
var testHooks map[string]func()

// workerMemory is where the worker begins to care about its memory: long logs come
// and go.
const workerMemory = 128 << 20

// serve answers requests until the pipe ends. Reading goes on during a job, so
// that the end of the parent ends this process at once.
func serve(in io.Reader, out io.Writer, cpu int) {
	requests := make(chan *request)
	go func() {
		dec := gob.NewDecoder(bufio.NewReader(in))
		for {
			var r request
			if err := dec.Decode(&r); err != nil {
				if !errors.Is(err, io.EOF) {
					fmt.Fprintln(os.Stderr, "kernel worker: read request:", err)
					os.Exit(1)
				}
				os.Exit(0)
			}
			requests <- &r
		}
	}()
	// The kernel is asked from one thread: it has the network namespace, runs on
	// one CPU, and is what an oops kills.
	runtime.LockOSThread()
	debug.SetMemoryLimit(workerMemory)
	enc := gob.NewEncoder(out)
	send := func(v any) {
		if err := enc.Encode(v); err != nil {
			fmt.Fprintln(os.Stderr, "kernel worker: answer:", err)
			os.Exit(1)
		}
	}
	hi := prepareThread(cpu)
	send(hi)
	for r := range requests {
		if hook := testHooks[r.Hook]; hook != nil {
			hook()
		}
		step := func(format string, args ...any) { send(answer{Step: fmt.Sprintf(format, args...)}) }
		var a answer
		var err error
		switch {
		case r.Status:
			a.Status = readStatus(hi.CPUs, hi.Network, step)
		case r.Attach != nil:
			a, err = attach(r.Load, r.Attach, &hi, step)
		case r.Run:
			a, err = run(r.Load, r.Inputs, hi.CPUs, step)
		default:
			a, err = load(r.Load, hi.CPUs, step)
		}
		if err != nil {
			a.Failure = failureOf(err)
		}
		send(a)
	}
}

// load loads a job's program and lets it go.
func load(job *wireJob, cpus int, step func(string, ...any)) (answer, error) {
	s := &session{job: job, cpus: cpus, step: step}
	defer s.close()
	r, err := s.buildAndLoad()
	return answer{Load: r}, err
}

// prepareThread sets the thread up and asks whether bpf(2) is there for us.
func prepareThread(cpu int) hello {
	hi := hello{TID: unix.Gettid(), CPUs: possibleCPUs(), Release: setting("kernel/osrelease")}
	readJITSettings()
	hi.Network = unix.Unshare(unix.CLONE_NEWNET) == nil
	if cpu >= 0 {
		var set, allowed unix.CPUSet
		if unix.SchedGetaffinity(0, &allowed) == nil && cpu == 0 {
			for allowed.Count() > 0 && !allowed.IsSet(cpu) {
				cpu++
			}
		}
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			hi.Failure = &failure{What: fmt.Sprintf("run on CPU %d: %v", cpu, err)}
			return hi
		}
	}
	// Kernels before 5.11 charge maps and programs to this limit.
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	probe := isa.Encode(isa.Program{{Op: 0xb7}, {Op: isa.OpExit}}) // r0 = 0; exit
	license := []byte("GPL\x00")
	attr := attrProgLoad{
		progType: uint32(spec.ProgSocketFilter), insns: pointTo(probe), insnCount: 2,
		license: pointTo(license), name: nameOf("probe"),
	}
	switch fd, errno := bpf(unix.BPF_PROG_LOAD, &attr); errno {
	case 0:
		unix.Close(fd)
	case spec.EPERM:
		missing := missingCapability("CAP_BPF")
		if missing == "" {
			hi.Failure = &failure{What: "bpf(2) is refused to a process with all capabilities: a container's or a security module's policy", Errno: errno}
			break
		}
		hi.Failure = failureOf(privilegeError(missing, "bpf(2)"))
	case enosys:
		hi.Failure = &failure{What: "this kernel has no bpf(2)", Unsupported: true}
	default:
		hi.Failure = &failure{What: "load of a program of two instructions", Errno: errno}
	}
	return hi
}

const enosys spec.Errno = 38 // ENOSYS

// failureOf makes an error ready for the pipe.
func failureOf(err error) *failure {
	if e, ok := errors.AsType[*PrivilegeError](err); ok {
		return &failure{Missing: e.Missing, Op: e.Op, Note: e.Note}
	}
	_, unsupported := errors.AsType[*UnsupportedError](err)
	return &failure{What: strings.TrimSpace(err.Error()), Unsupported: unsupported}
}
