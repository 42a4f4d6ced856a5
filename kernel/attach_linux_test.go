package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// counting counts in a map with one element, and remembers who came.
const counting = `
.license "GPL"
.map hits type=array key=4 value=8 max_entries=2
.program %s %s
	call bpf_get_current_pid_tgid
	r7 = r0
	*(u32 *)(r10 -4) = 0
	r1 = map[hits]
	r2 = r10
	r2 += -4
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r1 = %d
	lock *(u64 *)(r0 +0) += r1
	*(u32 *)(r10 -4) = 1
	r1 = map[hits]
	r2 = r10
	r2 += -4
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	*(u64 *)(r0 +0) = r7
out:	r0 = 0
	exit
`

func counter64(t *testing.T, maps []MapDump, key int) uint64 {
	t.Helper()
	for _, m := range maps {
		if m.Name == "hits" {
			for _, e := range m.Entries {
				if int(binary.LittleEndian.Uint32(e.Key)) == key {
					return binary.LittleEndian.Uint64(e.Values[0])
				}
			}
		}
	}
	t.Fatalf("no element %d: %+v", key, maps)
	return 0
}

// Programs see the events that the worker makes, and no others.
func TestAttach(t *testing.T) {
	k := start(t, Options{})
	tests := []struct {
		section string
		per     uint64 // events a round; 0: some
		at      string
	}{
		{"tracepoint/syscalls/sys_enter_getpid", 1, "tracepoint:syscalls/sys_enter_getpid"},
		{"raw_tp/sys_enter", 0, "raw_tracepoint:sys_enter"},
		{"uprobe", 1, "uprobe:"},
		{"perf_event", 0, "perf_event:cpu-clock"},
		{"tp_btf/sys_enter", 0, "tp_btf/sys_enter"},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.section, "/", "_"), func(t *testing.T) {
			cs := assembled(t, fmt.Sprintf(counting, "count", tt.section, 1))
			const rounds = 4
			out, err := k.Attach(t.Context(), Job{Spec: cs, Log: LogInsns}, []string{"count"}, AttachOptions{Rounds: rounds})
			if err != nil {
				t.Fatal(err)
			}
			p := out.Programs[0]
			if p.Load.Verdict == Rejected {
				t.Fatalf("%v\n%s", p.Load.Errno, p.Load.Log)
			}
			if p.At == "" {
				t.Skipf("not attached: %s", p.Reason)
			}
			if !strings.HasPrefix(p.At, tt.at) {
				t.Errorf("attached to %s, want %s", p.At, tt.at)
			}
			n := counter64(t, out.Maps, 0)
			if tt.per > 0 && n != tt.per*rounds && tt.section != "perf_event" || n == 0 {
				t.Errorf("%d events in %d rounds", n, rounds)
			}
			if p.Runs < n {
				t.Errorf("the kernel counts %d runs, the program %d", p.Runs, n)
			}
			if tid := uint32(counter64(t, out.Maps, 1)); int(tid) != k.w.hello.TID {
				t.Errorf("thread %d was seen, not %d", tid, k.w.hello.TID)
			}
		})
	}
}

// What cannot be attached is named, and does not keep the others from it.
func TestAttachRefused(t *testing.T) {
	k := start(t, Options{})
	if exists("/sys/bus/event_source/devices/kprobe") {
		t.Skip("this kernel has kprobes")
	}
	cs := assembled(t, `
.license "GPL"
.program probe kprobe/kmem_cache_free
	r0 = 0
	exit
.program ret kretprobe/kmem_cache_alloc_node
	r0 = 0
	exit
.program tp tracepoint/syscalls/sys_enter_getpid
	r0 = 0
	exit
`)
	out, err := k.Attach(t.Context(), Job{Spec: cs}, []string{"probe", "ret", "tp"}, AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"no kprobe events (CONFIG_KPROBES", "no kprobe events (CONFIG_KPROBES", ""} {
		p := out.Programs[i]
		if want == "" && p.At == "" && !strings.Contains(p.Reason, "tracefs") || !strings.Contains(p.Reason, want) {
			t.Errorf("%s: at %q, reason %q", p.Program, p.At, p.Reason)
		}
	}
	for _, section := range []string{"xdp", "kprobe.multi/vfs_*", "uretprobe", "sockops"} {
		err := CanAttach(&spec.ProgramSpec{Section: section, Type: typeOf(t, section)})
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", section, err)
		}
	}
}

func typeOf(t *testing.T, section string) spec.ProgType {
	t.Helper()
	rule, _, ok := spec.MatchSection(section)
	if !ok {
		t.Fatal(section)
	}
	return rule.Type
}

// After an attachment its programs are gone.
func TestAttachmentGone(t *testing.T) {
	k := start(t, Options{})
	name := fmt.Sprintf("gone%d", os.Getpid())
	cs := assembled(t, fmt.Sprintf(counting, name, "raw_tp/sys_enter", 1))
	out, err := k.Attach(t.Context(), Job{Spec: cs}, []string{name}, AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Programs[0].At == "" {
		t.Fatalf("%+v", out.Programs[0])
	}
	deadline := time.Now().Add(5 * time.Second) // programs are freed a moment later
	for id := range programs(t) {
		for nameOfProgram(id) == name {
			if time.Now().After(deadline) {
				t.Fatalf("program %d is still there", id)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// nameOfProgram asks for a program by its number; empty: it is gone.
func nameOfProgram(id uint32) string {
	open := struct{ id, _, flags uint32 }{id: id}
	fd, errno := bpf(unix.BPF_PROG_GET_FD_BY_ID, &open)
	if errno != 0 {
		return ""
	}
	defer unix.Close(fd)
	var info progInfo
	if getInfo(fd, &info) != 0 {
		return ""
	}
	return text(info.name[:])
}

// Statistics are counted when a job wants them.
func TestRunStatistics(t *testing.T) {
	k := start(t, Options{})
	cs := assembled(t, ".license \"GPL\"\n.program p socket\nr0 = 1\nexit\n")
	out, err := k.Run(t.Context(), Job{Spec: cs, Program: "p", Want: WantStats}, []Input{{Data: make([]byte, 64), Repeat: 10}, {Data: make([]byte, 64)}})
	if err != nil {
		t.Fatal(err)
	}
	if out.RunCount != 11 || out.RunTime == 0 {
		t.Errorf("%d runs in %v", out.RunCount, out.RunTime)
	}
}

// Where unprivileged users may not load, that is said and not taken for a verdict.
func TestUnprivileged(t *testing.T) {
	k := start(t, Options{})
	cs := assembled(t, ".license \"GPL\"\n.program p socket\nr0 = r10\nexit\n")
	r, err := k.Load(t.Context(), Job{Spec: cs, Program: "p", Log: LogInsns, Unprivileged: true})
	if err != nil {
		t.Fatal(err)
	}
	if setting("kernel/unprivileged_bpf_disabled") == "0" {
		if r.Verdict != Rejected || r.Message() != "R0 leaks addr as return value" {
			t.Errorf("%v: %s", r.Verdict, r.Message())
		}
	} else if r.Verdict != NotTried || !strings.Contains(r.Reason, "unprivileged_bpf_disabled") {
		t.Errorf("%v: %s", r.Verdict, r.Reason)
	}
	if r, err = k.Load(t.Context(), Job{Spec: cs, Program: "p"}); err != nil || r.Verdict != Accepted {
		t.Errorf("afterwards, with capabilities: %+v, %v", r, err)
	}
}

// An attachment ends when its context does, as Ctrl-C makes it: the worker is gone,
// and with it what it held.
func TestAttachmentCancelled(t *testing.T) {
	k := start(t, Options{})
	name := fmt.Sprintf("stop%d", os.Getpid())
	cs := assembled(t, fmt.Sprintf(counting, name, "raw_tp/sys_enter", 1))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := k.Attach(ctx, Job{Spec: cs}, []string{name}, AttachOptions{Rounds: 1 << 30})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	deadline := time.Now().Add(10 * time.Second)
	for id := range programs(t) {
		for nameOfProgram(id) == name {
			if time.Now().After(deadline) {
				t.Fatalf("program %d is still there", id)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
