//go:build !linux

package kernel

import (
	"context"
	"runtime"
)

// WorkerMain returns at once: there are no workers on this system.
func WorkerMain() {}

func startWorker(context.Context, Options) (*worker, error) {
	return nil, &UnsupportedError{What: "bpf(2) needs Linux; this is " + runtime.GOOS}
}

func threadGone(pid, tid int) bool { return false }
