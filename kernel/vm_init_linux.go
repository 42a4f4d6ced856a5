package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// vmInit is what this program does as init of a second kernel: it makes the file
// systems that the worker reads, sets the JIT, starts the worker on the serial port
// and turns the machine off when that has ended.
func vmInit() {
	defer unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	trouble := func(err error) { fmt.Fprintln(os.Stderr, "bpfvm init:", err) }
	for _, m := range []struct{ what, on string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tracefs", "/sys/kernel/tracing"},
		{"securityfs", "/sys/kernel/security"}, {"tmpfs", "/tmp"},
	} {
		if err := unix.Mount(m.what, m.on, m.what, 0, ""); err != nil && err != unix.EBUSY {
			trouble(fmt.Errorf("mount %s: %w", m.on, err))
		}
	}
	// This machine is nobody else's: all may use bpf(2), with the JIT as asked.
	for name, value := range map[string]string{
		"net/core/bpf_jit_enable": os.Getenv(vmJITEnv), "kernel/unprivileged_bpf_disabled": "0", "kernel/kptr_restrict": "0",
	} {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			trouble(err)
		}
	}
	port, err := openPort()
	if err != nil {
		trouble(err)
		return
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), workerEnv+"=1", "GODEBUG=asyncpreemptoff=1")
	cmd.ExtraFiles = []*os.File{port, port} // workerIn, workerOut
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		trouble(fmt.Errorf("worker: %w", err))
	}
}

// openPort opens the serial port, which appears when its driver has found it.
func openPort() (*os.File, error) {
	for range 200 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if b, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(b)) == vmPort {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_RDWR, 0)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, fmt.Errorf("no serial port %s", vmPort)
}
