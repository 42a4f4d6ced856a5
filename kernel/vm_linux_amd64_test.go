package kernel

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"bpfvm/spec"
)

// vmImage names the image that the tests of a second kernel boot. Without it they are
// left out: booting takes seconds alone, and minutes beside other work.
const vmImage = "BPFVM_VM_KERNEL"

func secondKernel(t *testing.T, jitOff bool) *Kernel {
	t.Helper()
	image := os.Getenv(vmImage)
	if image == "" {
		t.Skipf("%s names no image of a second kernel to boot", vmImage)
	}
	vm, err := FindVM(image)
	if err != nil {
		t.Skip(err)
	}
	vm.JITOff = jitOff
	var console bytes.Buffer
	vm.Console = &console
	k, err := Start(t.Context(), Options{VM: vm})
	if err != nil {
		t.Fatalf("%v\n%s", err, console.String())
	}
	t.Cleanup(func() {
		k.Close()
		if t.Failed() {
			t.Logf("console:\n%s", console.String())
		}
	})
	return k
}

// The second kernel does what this machine's may not: the kmem example counts real
// allocations and frees, through the symbols that this kernel has for them.
func TestSecondKernel(t *testing.T) {
	k := secondKernel(t, false)
	t.Logf("Linux %s", k.Release())
	if k.Release() == release() {
		t.Errorf("it is the machine's own, %s", k.Release())
	}
	st, err := k.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !st.Kprobes || !st.BTF || st.JIT != "on" || st.Unprivileged != "allowed" {
		t.Errorf("%+v", st)
	}
	for _, ty := range st.Types {
		if (ty.Type == spec.ProgTracing || ty.Type == spec.ProgLSM) && ty.Load != 0 {
			t.Errorf("%s: %v %s", ty.Type, ty.Load, ty.Reason)
		}
	}

	const rounds = 20
	out, err := k.Attach(t.Context(), Job{Spec: object(t, "kmem/kmem_modern.bpf.o"), Log: LogInsns}, []string{"on_free", "on_alloc"}, AttachOptions{Rounds: rounds})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range out.Programs {
		t.Logf("%s at %q %s %s: %d runs; %s", p.Program, p.At, p.Reason, p.Note, p.Runs, p.Load.Message())
		if p.At == "" || p.Runs < rounds {
			t.Errorf("%s: at %q, %d runs, %s", p.Program, p.At, p.Runs, p.Reason)
		}
	}
	if !strings.Contains(out.Programs[1].Note, "kmem_cache_alloc_node_noprof") {
		t.Errorf("note %q does not name the symbol", out.Programs[1].Note)
	}
	counted := uint64(0)
	for _, m := range out.Maps {
		if m.Name != "counts" {
			continue
		}
		for _, e := range m.Entries {
			t.Logf("counts[%d] = %d", le.Uint32(e.Key), le.Uint64(e.Values[0]))
			counted += le.Uint64(e.Values[0])
		}
	}
	if counted < rounds {
		t.Errorf("%d events were counted in %d rounds", counted, rounds)
	}
	t.Logf("%d lines printed: %.3q", len(out.Trace), out.Trace)

	// Unprivileged users may ask this kernel, and are told that pointers do not leave.
	leak := Job{Spec: assembled(t, ".license \"GPL\"\n.program p socket\nr0 = r10\nexit\n"), Program: "p", Log: LogInsns}
	for _, unprivileged := range []bool{false, true} {
		leak.Unprivileged = unprivileged
		r, err := k.Load(t.Context(), leak)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]Verdict{false: Accepted, true: Rejected}[unprivileged]; r.Verdict != want {
			t.Errorf("unprivileged %v: %v %v %s\n%s", unprivileged, r.Verdict, r.Errno, r.Reason, r.Log)
		} else if unprivileged && r.Message() != "R0 leaks addr as return value" {
			t.Errorf("unprivileged: %s", r.Message())
		}
	}

	fentry := assembled(t, ".license \"GPL\"\n.program f fentry/vfs_read\nr0 = 0\nexit\n")
	fo, err := k.Attach(t.Context(), Job{Spec: fentry}, []string{"f"}, AttachOptions{Rounds: 3})
	if err != nil {
		t.Fatal(err)
	}
	if p := fo.Programs[0]; p.At == "" || p.Runs < 3 {
		t.Errorf("fentry: %+v %s", p, p.Reason)
	}
}

// Without the JIT the second kernel interprets: there is no machine code, and results
// are the same.
func TestSecondKernelInterprets(t *testing.T) {
	k := secondKernel(t, true)
	cs := object(t, "xdp/firewall.bpf.o")
	pkt := Input{Data: make([]byte, 64)}
	out, err := k.Run(t.Context(), Job{Spec: cs, Program: "firewall", Want: WantJited}, []Input{pkt})
	if err != nil {
		t.Fatal(err)
	}
	if out.Load.Prog.JitedLen != 0 {
		t.Errorf("%d bytes of machine code", out.Load.Prog.JitedLen)
	}
	if out.Runs[0].Errno != 0 {
		t.Errorf("%+v", out.Runs[0])
	}
}

// An initial file system holds the program; what is missing for a second kernel is
// named.
func TestMissingVM(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := FindVM("")
	e, ok := errors.AsType[*MissingVMError](err)
	if !ok || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(e.Hint, "apt-get install") {
		t.Errorf("%v", err)
	}
	path := t.TempDir() + "/initrd"
	if err := writeInitrd(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("070701")) || !bytes.Contains(b, []byte("init\x00")) || !bytes.Contains(b, []byte("TRAILER!!!")) || len(b)%4 != 0 {
		t.Error("no cpio archive")
	}
}
