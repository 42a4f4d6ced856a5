package kernel

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// registerHooks says what a worker of this package's tests can be asked to do
// before a job.
func registerHooks() {
	testHooks = map[string]func(){
		"hang": func() { time.Sleep(time.Hour) },
		// As after an oops: the thread ends inside a system call.
		"oops": func() { unix.Syscall(unix.SYS_EXIT, 0, 0, 0) },
		"die": func() {
			fmt.Fprintln(os.Stderr, "going down")
			os.Exit(3)
		},
		"count":   func() { fmt.Fprintf(os.Stderr, "fds %s\n", openFiles()) },
		"old log": func() { oldLog = true },
		"drop": func() {
			hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&hdr, &none[0]); err != nil {
				panic(err)
			}
		},
	}
}

// openFiles lists what the process has open that is of BPF or a perf event, and
// how many files it has open at all.
func openFiles() string {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err.Error()
	}
	var held []string
	for _, n := range names {
		to, _ := os.Readlink("/proc/self/fd/" + n.Name())
		if strings.HasPrefix(to, "anon_inode:bpf") || strings.HasPrefix(to, "anon_inode:btf") ||
			strings.HasPrefix(to, "anon_inode:[perf") {
			held = append(held, to)
		}
	}
	return fmt.Sprint(len(names), held)
}
