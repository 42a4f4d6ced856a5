package kernel

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// helloTime is how long a worker may take to start. The machine may be busy.
const helloTime = 20 * time.Second

// startWorker starts this program once more, as a worker.
func startWorker(ctx context.Context, opts Options) (*worker, error) {
	if os.Getenv(workerEnv) != "" {
		return nil, errors.New("kernel: a worker does not start workers: call kernel.WorkerMain first thing in main")
	}
	if opts.VM != nil {
		return startVM(ctx, opts)
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, &UnsupportedError{What: "bpf(2) on a big-endian machine"}
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start kernel worker: %w", err)
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start kernel worker: %w", err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		theirIn.Close()
		ourOut.Close()
		return nil, fmt.Errorf("start kernel worker: %w", err)
	}
	w := &worker{
		cmd: exec.Command(exe), in: ourOut, enc: gob.NewEncoder(ourOut),
		answers: make(chan *answer, 16), ended: make(chan struct{}),
	}
	w.cmd.Env = append(os.Environ(),
		workerEnv+"=1", workerCPUEnv+"="+strconv.Itoa(opts.CPU),
		// Go interrupts threads with signals, which makes the verifier give up with EAGAIN.
		"GODEBUG=asyncpreemptoff=1")
	w.cmd.ExtraFiles = []*os.File{theirIn, theirOut} // workerIn, workerOut
	w.cmd.Stderr = &w.stderr
	w.cmd.WaitDelay = time.Second
	w.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL, // should the pipe's end not be enough
		Setpgid:   true,            // Ctrl-C is for us; the worker ends when we say so
	}
	started := make(chan error)
	go func() {
		// Pdeathsig comes when the thread ends that started the process, so this one
		// stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := w.cmd.Start()
		started <- err
		if err == nil {
			w.cmd.Wait()
			close(w.ended)
		}
	}()
	err = <-started
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		ourOut.Close()
		ourIn.Close()
		return nil, fmt.Errorf("start kernel worker: %w", err)
	}
	w.gone = func() bool { return threadGone(w.cmd.Process.Pid, w.hello.TID) }
	if err := w.greet(ctx, ourIn, helloTime); err != nil {
		return nil, err
	}
	return w, nil
}

// greet waits for the worker's hello; a worker that does not come is ended.
func (w *worker) greet(ctx context.Context, from *os.File, within time.Duration) (err error) {
	hi := make(chan error, 1)
	go w.receive(from, hi)
	select {
	case err = <-hi:
	case <-time.After(within):
		err = w.died(&WorkerError{Err: ErrHung, Doing: "start", After: within})
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = w.hello.Failure.err()
	}
	if err != nil {
		w.kill()
	}
	return err
}

// receive reads the worker's hello, then its answers.
func (w *worker) receive(from io.ReadCloser, hi chan<- error) {
	defer from.Close()
	defer close(w.answers)
	dec := gob.NewDecoder(bufio.NewReader(from))
	if err := dec.Decode(&w.hello); err != nil {
		hi <- w.died(&WorkerError{Err: ErrDied, Doing: "start"})
		return
	}
	hi <- nil
	for {
		a := new(answer)
		if dec.Decode(a) != nil {
			return
		}
		select {
		case w.answers <- a:
		case <-w.ended: // and nobody listens
			select {
			case w.answers <- a:
			default:
				return
			}
		}
	}
}

// threadGone reports whether a thread has ended in a process that has not: what
// the kernel does to a thread that failed inside of it.
func threadGone(pid, tid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
	if err != nil {
		_, err = os.Stat(fmt.Sprintf("/proc/%d/task/%d", pid, pid))
		return err == nil
	}
	// The state follows the name, which is in parentheses (proc_pid_stat(5)).
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
	return ok && len(rest) > 0 && (rest[0] == 'Z' || rest[0] == 'X')
}
