package types

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"sync"

	"github.com/cilium/ebpf/btf"
)

//go:generate go run bpfvm/types/internal/gentarget -dir .

// TargetVersion is the kernel that the embedded BTF was taken from.
const TargetVersion = "6.18"

//go:embed target.btf.gz
var targetPacked []byte

// TargetSource returns the SHA-256 of the kernel's own BTF that the target was
// made from, in hexadecimal.
func TargetSource() string { return targetSource }

// Target returns the BTF of Linux 6.18 on x86-64 that programs are relocated
// against unless another is asked for: all named structures, unions, enums,
// typedefs and integers of vmlinux, its per-CPU variables, the prototypes of
// tracepoints (btf_trace_NAME), kfuncs, LSM hooks, iterators, and of all global
// functions. Most static functions are left out; ids are not the kernel's own. The
// recipe stands in internal/gentarget. It is unpacked on first use and
// shared; it must not be changed.
var Target = sync.OnceValues(func() (*btf.Spec, error) {
	raw, err := TargetRaw()
	if err != nil {
		return nil, err
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("target BTF: %w", err)
	}
	targetFlavours = flavouredStrings(raw)
	return spec, nil
})

// targetFlavours are the names of the target's types that have a flavour.
var targetFlavours map[string][]string

// TargetRaw returns the target BTF as bytes, in the wire format.
func TargetRaw() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(targetPacked))
	if err != nil {
		return nil, fmt.Errorf("target BTF: %w", err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("target BTF: %w", err)
	}
	return raw, nil
}
