//go:build !linux

package runtime_test

import (
	"errors"

	"github.com/cilium/ebpf"

	"bpfvm/spec"
)

func pinToCPU(int) error { return errors.ErrUnsupported }

func recordReader(*ebpf.Map, spec.MapType) (func() ([]byte, bool), error) {
	return nil, errors.ErrUnsupported
}

func newSocket(string) (kernelObject, error) { return kernelObject{}, errors.ErrUnsupported }
