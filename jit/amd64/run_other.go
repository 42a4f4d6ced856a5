//go:build !linux || !amd64

package amd64

import (
	"errors"
	"fmt"
	goruntime "runtime"

	"bpfvm/vm"
)

// Native says whether machine code runs on this host.
const Native = false

// Run says that machine code cannot run here.
func (p *Program) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	err := fmt.Errorf("jit: x86-64 machine code runs on linux/amd64 only, this is %s/%s: %w",
		goruntime.GOOS, goruntime.GOARCH, errors.ErrUnsupported)
	return vm.Exit{}, (&vm.Trap{Kind: vm.TrapStopped, Msg: err.Error(), Cause: err}).At(p.Code(), 0, 0, 0)
}
