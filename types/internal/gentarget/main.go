// Command gentarget makes the embedded target BTF of package types from the BTF
// of a running 6.18 kernel. It keeps what programs are relocated against and
// what events are decoded with, and drops the kernel's functions and variables.
//
//	go run bpfvm/types/internal/gentarget -in /sys/kernel/btf/vmlinux -out target.btf.gz
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

func main() {
	in := flag.String("in", "/sys/kernel/btf/vmlinux", "raw BTF of the kernel")
	out := flag.String("out", "target.btf.gz", "the trimmed BTF, compressed")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	raw, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	trimmed, err := trim(spec)
	if err != nil {
		return err
	}
	packed, err := pack(trimmed)
	if err != nil {
		return err
	}
	fmt.Printf("%d bytes of BTF, %d kept, %d compressed\n", len(raw), len(trimmed), len(packed))
	return os.WriteFile(out, packed, 0o644)
}

// trim returns raw BTF with the types that keep chooses and everything that they
// refer to, in the order of the kernel's ids.
func trim(spec *btf.Spec) ([]byte, error) {
	b, err := btf.NewBuilder(nil, nil)
	if err != nil {
		return nil, err
	}
	for typ, err := range spec.All() {
		if err != nil {
			return nil, err
		}
		if !keep(typ) {
			continue
		}
		if _, err := b.Add(typ); err != nil {
			return nil, fmt.Errorf("keep %v: %w", typ, err)
		}
	}
	return b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
}

// keep says whether a type is wanted for itself. Among typedefs are the
// btf_trace_* ones, whose prototypes describe the arguments of raw tracepoints.
func keep(typ btf.Type) bool {
	switch t := typ.(type) {
	case *btf.Struct, *btf.Union, *btf.Enum, *btf.Typedef, *btf.Int, *btf.Float:
		return typ.TypeName() != ""
	case *btf.Func:
		if slices.Contains(t.Tags, "bpf_kfunc") || slices.Contains(keptFuncs, t.Name) {
			return true
		}
		return slices.ContainsFunc(keptPrefixes, func(p string) bool { return strings.HasPrefix(t.Name, p) })
	}
	return false
}

// keptPrefixes choose functions by how their names begin: hooks and targets that
// tracing programs attach to.
var keptPrefixes = []string{
	"bpf_lsm_", "bpf_iter_", "bpf_fentry_test", "bpf_modify_return_test",
	"vfs_", "tcp_", "udp_", "security_", "kmem_cache_", "ip_",
}

// keptFuncs are further functions that examples trace.
var keptFuncs = []string{
	"do_unlinkat", "do_sys_openat2", "do_filp_open", "do_mkdirat", "do_exit", "do_nanosleep", "hrtimer_nanosleep",
	"wake_up_new_task", "finish_task_switch", "try_to_wake_up", "schedule", "inet_csk_accept", "inet_listen",
	"__sys_connect", "dev_queue_xmit", "__netif_receive_skb_core", "netif_receive_skb", "consume_skb", "kfree_skb_reason",
	"blk_account_io_start", "blk_account_io_done", "blk_mq_start_request", "submit_bio", "filp_close", "fd_install",
	"handle_mm_fault", "cap_capable", "commit_creds", "bprm_execve",
}

// pack compresses without a name or a time, so that equal input gives equal
// output.
func pack(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
