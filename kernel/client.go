package kernel

import (
	"context"
	"encoding/gob"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// worker is our end of a worker process.
type worker struct {
	cmd     *exec.Cmd
	in      *os.File // requests
	enc     *gob.Encoder
	answers chan *answer  // closed when the process has closed its end
	ended   chan struct{} // closed when the process has ended
	hello   hello
	stderr  tail
	// gone reports whether the thread that asks the kernel has been killed.
	gone func() bool
}

// watch is how often a job's thread is looked at, so that an oops is noticed before
// the deadline.
const watch = 200 * time.Millisecond

// do has one request answered. After an error the worker is of no use any more.
func (w *worker) do(ctx context.Context, r *request, deadline time.Duration) (*answer, error) {
	start := time.Now()
	doing := "take the job"
	lost := func(err error) error {
		return &WorkerError{Err: err, Doing: doing, After: time.Since(start)}
	}
	// The write ends at the deadline if the worker does not read.
	w.in.SetWriteDeadline(start.Add(deadline))
	sent := make(chan error, 1)
	go func() { sent <- w.enc.Encode(r) }()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	ticker := time.NewTicker(watch)
	defer ticker.Stop()
	for {
		select {
		case a, ok := <-w.answers:
			if !ok {
				return nil, w.died(lost(ErrDied))
			}
			if a.Step == "" {
				return a, nil
			}
			doing = a.Step
		case err := <-sent:
			if sent = nil; err != nil {
				return nil, w.died(lost(ErrDied))
			}
		case <-ticker.C:
			if w.gone() {
				select {
				case _, ok := <-w.answers:
					if !ok {
						return nil, w.died(lost(ErrDied))
					}
				case <-time.After(watch):
				}
				return nil, lost(ErrOops)
			}
		case <-timer.C:
			return nil, lost(ErrHung)
		case <-ctx.Done():
			return nil, lost(ctx.Err())
		}
	}
}

// died adds how the process ended.
func (w *worker) died(err error) error {
	e, _ := errors.AsType[*WorkerError](err)
	select {
	case <-w.ended:
		e.Detail = w.cmd.ProcessState.String()
	case <-time.After(time.Second):
	}
	if s := w.stderr.String(); s != "" {
		e.Detail = strings.TrimPrefix(e.Detail+": "+s, ": ")
	}
	return e
}

// end lets the worker end by itself, for it does when its pipe is closed.
func (w *worker) end() {
	w.in.Close()
	select {
	case <-w.ended:
	case <-time.After(2 * time.Second):
		w.kill()
	}
}

// kill ends the process. It does not wait long: one that hangs in the kernel is
// gone when the kernel lets it.
func (w *worker) kill() {
	w.in.Close()
	w.cmd.Process.Kill()
	select {
	case <-w.ended:
	case <-time.After(time.Second):
	}
}

// tail keeps the end of what a process prints.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSizeMax = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailSizeMax; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
