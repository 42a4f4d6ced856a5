package kernel

import (
	"fmt"
	"io"
	"time"
)

// A second kernel: an image of Linux that qemu boots by software emulation, with this
// program as its init. The worker runs there and takes the same jobs, over a virtio
// serial port instead of pipes:
//
//	our process                    qemu
//	Kernel.Load(job)   --- job -->   init (this program) -- worker -- bpf(2)
//	                   <-- result
//
// It can do what the machine's own kernel may not: attach kprobes, fentry and LSM
// programs, run without JIT, be asked without privilege. Nothing of the machine is
// touched, and no privilege is needed to start it.

// VM asks for a second kernel.
type VM struct {
	// Image is the kernel, a bzImage for x86-64 with virtio-pci and virtio-console
	// built in, as Debian's linux-image-*-cloud-amd64 has it. FindVM looks for one.
	Image string
	// Qemu is the emulator; empty means qemu-system-x86_64 from PATH.
	Qemu string
	// JITOff has the kernel interpret programs (net.core.bpf_jit_enable).
	JITOff bool
	// Memory is in MiB; 0 means 1024.
	Memory int
	// Console, when set, gets what the kernel prints, at the end.
	Console io.Writer
}

// MissingVMError says what a second kernel lacks. It wraps errors.ErrUnsupported.
type MissingVMError struct{ What, Hint string }

func (e *MissingVMError) Error() string { return fmt.Sprintf("%s (%s)", e.What, e.Hint) }

func (e *MissingVMError) Unwrap() error { return (&UnsupportedError{}).Unwrap() }

const (
	vmMemory = 1024
	// bootTime is how long the second kernel may take to come up: four seconds where
	// nothing else runs.
	bootTime = 4 * time.Minute
	// vmDeadline replaces the default deadline of jobs there.
	vmDeadline = 5 * time.Minute

	workerVM    = "vm"           // value of workerEnv: this process is init
	vmJITEnv    = "BPFVM_VM_JIT" // "0": off
	vmPort      = "bpfvm"        // name of the serial port
	imagePlaces = "/boot/vmlinuz-*cloud-amd64"
)
