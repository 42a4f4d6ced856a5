package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A worker that is lost is named, and replaced for the next job.
func TestLostWorker(t *testing.T) {
	for _, test := range []struct {
		hook     string
		want     error
		deadline time.Duration
		early    bool // noticed before the deadline
		detail   string
	}{
		{"hang", ErrHung, time.Second, false, ""},
		{"oops", ErrOops, 20 * time.Second, true, ""},
		{"die", ErrDied, 20 * time.Second, true, "exit status 3: going down"},
	} {
		t.Run(test.hook, func(t *testing.T) {
			t.Parallel()
			k := start(t, Options{Deadline: test.deadline})
			job := Job{Spec: object(t, "xdp/drop.bpf.o"), Program: "drop_arp"}
			k.hook = test.hook
			begin := time.Now()
			_, err := k.Load(t.Context(), job)
			e, ok := errors.AsType[*WorkerError](err)
			if !ok || !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if took := time.Since(begin); (took < test.deadline) != test.early {
				t.Errorf("took %v, the deadline is %v", took, test.deadline)
			}
			if e.Detail != test.detail || e.Doing != "take the job" {
				t.Errorf("doing %q, detail %q; want detail %q", e.Doing, e.Detail, test.detail)
			}
			k.hook = ""
			k.opts.Deadline = time.Minute
			r, err := k.Load(t.Context(), job)
			if err != nil || r.Verdict != Rejected {
				t.Errorf("after it: %v, %v", r, err)
			}
			if n := k.Workers(); n != 2 {
				t.Errorf("%d workers, want 2", n)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	k := start(t, Options{})
	k.hook = "hang"
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	job := Job{Spec: object(t, "xdp/drop.bpf.o"), Program: "drop_arp"}
	if _, err := k.Load(ctx, job); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's error", err)
	}
	time.AfterFunc(100*time.Millisecond, func() { k.Close() })
	if _, err := k.Load(t.Context(), job); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want %v", err, ErrClosed)
	}
	if _, err := k.Load(t.Context(), job); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want %v", err, ErrClosed)
	}
}

func TestPrivilege(t *testing.T) {
	k := start(t, Options{})
	if setting("kernel/unprivileged_bpf_disabled") == "0" {
		t.Skip("unprivileged users may use bpf(2) here")
	}
	k.hook = "drop"
	for path, prog := range map[string]string{"xdp/drop.bpf.o": "drop_arp", "bench/calls.bpf.o": "hash_map"} {
		_, err := k.Load(t.Context(), Job{Spec: object(t, path), Program: prog})
		e, ok := errors.AsType[*PrivilegeError](err)
		if !ok || e.Missing != "CAP_BPF" {
			t.Errorf("%s: %v, want a PrivilegeError of CAP_BPF", path, err)
		}
	}
}

// Everything that a job created is gone after it.
func TestNothingStays(t *testing.T) {
	k := start(t, Options{})
	before := programs(t)
	k.hook = "count"
	seen := make(map[string]bool)
	for range 3 {
		for path, prog := range map[string]string{
			"xdp/firewall.bpf.o": "firewall", "insn/v4.bpf.o": "atomics", "xdp/drop.bpf.o": "drop_arp",
		} {
			_, err := k.Run(t.Context(), Job{Spec: object(t, path), Program: prog, Fresh: true},
				[]Input{{Data: make([]byte, 64)}, {Data: make([]byte, 64)}})
			if _, refused := errors.AsType[*LoadError](err); err != nil && !refused {
				t.Fatal(err)
			}
		}
	}
	for line := range strings.Lines(k.w.stderr.String()) {
		seen[strings.TrimSpace(line)] = true
	}
	// The first may come before the runtime has opened its own.
	if len(seen) > 2 || len(seen) == 0 {
		t.Errorf("open files before each job: %v", seen)
	}
	for s := range seen {
		if !strings.HasSuffix(s, "[]") {
			t.Errorf("open before a job: %s", s)
		}
	}
	k.Close()
	for id, tag := range programs(t) {
		if _, old := before[id]; !old {
			t.Logf("program %d with tag %s is new; other processes load programs too", id, tag)
		}
	}
}

// The program of a job is known by its tag; none with it is left.
func TestProgramGone(t *testing.T) {
	k := start(t, Options{})
	src := fmt.Sprintf(".license \"GPL\"\n.program mine xdp\nr0 = %d\nexit\n", os.Getpid())
	r, err := k.Load(t.Context(), Job{Spec: assembled(t, src), Program: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != Accepted || len(r.Prog.Tag) != 16 {
		t.Fatalf("%+v", r)
	}
	for id, tag := range programs(t) {
		if tag == r.Prog.Tag {
			t.Errorf("program %d (it was %d) is still there", id, r.Prog.ID)
		}
	}
}

// programs lists the programs of the machine with their tags.
func programs(t *testing.T) map[uint32]string {
	t.Helper()
	all := make(map[uint32]string)
	for id := uint32(0); ; {
		next := struct{ start, next, flags uint32 }{start: id}
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_GET_NEXT_ID, uintptr(unsafe.Pointer(&next)), unsafe.Sizeof(next))
		if errno == unix.ENOENT {
			return all
		}
		if errno != 0 {
			t.Skipf("list of programs: %v", errno)
		}
		id = next.next
		open := struct{ id, _, flags uint32 }{id: id}
		fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_GET_FD_BY_ID, uintptr(unsafe.Pointer(&open)), unsafe.Sizeof(open))
		if errno != 0 {
			continue // gone meanwhile
		}
		var info progInfo
		if getInfo(int(fd), &info) == 0 {
			all[id] = fmt.Sprintf("%x", info.tag)
		}
		unix.Close(int(fd))
	}
}

func TestTwoWorkers(t *testing.T) {
	a, b := start(t, Options{}), start(t, Options{CPU: -1})
	c := object(t, "xdp/firewall.bpf.o")
	var wg sync.WaitGroup
	for _, k := range []*Kernel{a, b, a, b} { // and each used from two goroutines
		wg.Go(func() {
			for range 20 {
				out, err := k.Run(t.Context(), Job{Spec: c, Program: "firewall"}, []Input{{Data: make([]byte, 64)}})
				if err != nil || len(out.Runs) != 1 || out.Runs[0].Errno != 0 {
					t.Errorf("%v %v", out, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A worker does not outlive its parent, however that ends.
func TestParentDies(t *testing.T) {
	start(t, Options{})
	if os.Getenv("BPFVM_TEST_PARENT") != "" {
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestParent$")
	cmd.Env = append(os.Environ(), "BPFVM_TEST_PARENT=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "worker %d\n", &pid); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for range 100 {
		if unix.Kill(pid, 0) == unix.ESRCH {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("worker %d lives on", pid)
}

// TestParent is the parent that TestParentDies kills. Its worker is busy.
func TestParent(t *testing.T) {
	if os.Getenv("BPFVM_TEST_PARENT") == "" {
		t.Skip("runs in a child of TestParentDies")
	}
	k, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("worker %d\n", k.w.cmd.Process.Pid)
	k.hook = "hang"
	k.Load(t.Context(), Job{Spec: object(t, "xdp/drop.bpf.o"), Program: "drop_arp"})
}
