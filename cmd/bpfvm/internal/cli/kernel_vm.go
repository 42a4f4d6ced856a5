package cli

import (
	"os"

	"bpfvm/difftest"
	"bpfvm/kernel"
)

const (
	vmAuto = "auto"            // --vm without an image
	vmEnv  = "BPFVM_VM_KERNEL" // names the image where no flag does
)

// findVM finds what a second kernel needs.
func findVM(image string) (*kernel.VM, error) {
	if image == vmAuto || image == "" {
		image = os.Getenv(vmEnv)
	}
	vm, err := kernel.FindVM(image)
	if err != nil {
		return nil, withCode(exitPrivilege, err)
	}
	return vm, nil
}

// startKernel starts what the word asks: this machine's kernel or a second one.
func (a *app) startKernel(word string, f kernelFlags) (*kernel.Kernel, error) {
	o := kernel.Options{Deadline: f.deadline}
	switch {
	case word == "vm" || f.vm != "":
		vm, err := findVM(f.vm)
		if err != nil {
			return nil, err
		}
		vm.JITOff = f.noJIT
		o.VM = vm
		a.progress("booting %s", vm.Image)
	case f.noJIT:
		return nil, usageErr("--no-jit goes with --vm: the JIT of this machine is not switched")
	}
	return kernel.Start(a.ctx, o)
}

// startKernel starts the kernel behind an engine's name.
func (d *differ) startKernel(name string) (*difftest.Kernel, error) {
	if name == "kernel" {
		return difftest.StartKernel(d.ctx)
	}
	vm, err := findVM(d.f.vm)
	if err != nil {
		return nil, err
	}
	return difftest.StartVM(d.ctx, name, vm)
}
