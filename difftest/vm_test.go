package difftest

import (
	"os"
	"testing"

	"bpfvm/kernel"
)

// Linux's own interpreter gives what ours gives, and so does its older JIT.
func TestStepVsSecondKernel(t *testing.T) {
	const env = "BPFVM_VM_KERNEL"
	image := os.Getenv(env)
	if image == "" {
		t.Skipf("%s names no image of a second kernel to boot", env)
	}
	vm, err := kernel.FindVM(image)
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{KernelVM, KernelInterp} {
		t.Run(name, func(t *testing.T) {
			k, err := StartVM(t.Context(), name, vm)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			c := campaign(t, k, 17, 80)
			if ran := c.Summary.Runs - 2*c.Summary.Programs; ran < 40 {
				t.Errorf("%d runs only; skips %+v", ran, c.Skips())
			}
		})
	}
}
