package kernel

import (
	"errors"
	"fmt"
	"time"
)

// PrivilegeError says that the kernel may not be asked by this user.
type PrivilegeError struct {
	Missing string // the capability: "CAP_BPF"
	Op      string // what needed it
	Note    string // what else matters: a setting, a user namespace; may be empty
}

func (e *PrivilegeError) Error() string {
	s := fmt.Sprintf("%s: needs %s", e.Op, e.Missing)
	if e.Note != "" {
		s += " (" + e.Note + ")"
	}
	return s
}

// Sentinels of WorkerError.
var (
	// ErrHung marks a job that was not done at its deadline.
	ErrHung = errors.New("no answer within the deadline")
	// ErrOops marks a job whose thread the kernel has killed: a bug of the kernel,
	// of which its log (dmesg) tells more.
	ErrOops = errors.New("the kernel killed the thread that asked it")
	// ErrDied marks a job during which the worker process ended.
	ErrDied = errors.New("the worker process ended")
)

// WorkerError says that a job took its worker with it. The next job gets a new
// worker.
type WorkerError struct {
	Err    error  // ErrHung, ErrOops, ErrDied, or the context's error
	Doing  string // the step of the job: "load xdp/main", "run input 3"
	After  time.Duration
	Detail string // how the process ended, what it printed last; may be empty
}

func (e *WorkerError) Error() string {
	s := fmt.Sprintf("kernel worker: %s: %v after %v", e.Doing, e.Err, e.After.Round(time.Millisecond))
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func (e *WorkerError) Unwrap() error { return e.Err }

// UnsupportedError names what cannot be done with this kernel or on this system.
// It wraps errors.ErrUnsupported.
type UnsupportedError struct {
	What string
}

func (e *UnsupportedError) Error() string { return e.What }

func (e *UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// LoadError says that a program could not be run because the kernel did not take
// it.
type LoadError struct {
	Program string
	Result  *LoadResult
}

func (e *LoadError) Error() string {
	r := e.Result
	s := fmt.Sprintf("%s: %s by the kernel: %v", e.Program, r.Verdict, r.Errno)
	switch {
	case r.Verdict == NotTried:
		s = fmt.Sprintf("%s: not tried: %s", e.Program, r.Reason)
	case r.Message() != "":
		s += ": " + r.Message()
	}
	return s
}

// Unwrap gives the kernel's error number.
func (e *LoadError) Unwrap() error {
	if e.Result.Errno == 0 {
		return nil
	}
	return e.Result.Errno
}
