package cli

import (
	"bytes"
	delf "debug/elf"
	"fmt"

	"bpfvm/elf"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"
)

// hostBTF is where the running kernel publishes its types.
const hostBTF = "/sys/kernel/btf/vmlinux"

// wordHost is the value of --btf that stands for it.
const wordHost = "host"

// btfFlag adds --btf to a verb that links objects.
func (a *app) btfFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.flags.btf, "btf", "", "kernel types for CO-RE: host or a `FILE` (built in: Linux "+targetKernel+")")
}

// loadOptions says what an object is linked against.
func (a *app) loadOptions(name string) (elf.Options, error) {
	o := elf.Options{Name: name}
	target, err := a.targetBTF()
	o.Target = target
	return o, err
}

// targetBTF returns the types of the kernel that programs are made for.
func (a *app) targetBTF() (*btf.Spec, error) {
	path := a.flags.btf
	switch path {
	case "":
		return types.Target()
	case wordHost:
		path = hostBTF
	}
	if a.target != nil {
		return a.target, nil
	}
	raw, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	if isELF(raw) {
		f, err := delf.NewFile(bytes.NewReader(raw))
		if err != nil {
			return nil, inputErr("%s: %w", display(path), err)
		}
		sec := f.Section(".BTF")
		if sec == nil {
			return nil, inputErr("%s: no section .BTF", display(path))
		}
		if raw, err = sec.Data(); err != nil {
			return nil, inputErr("%s: section .BTF: %w", display(path), err)
		}
	}
	if a.target, err = types.Load(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", display(path), err)
	}
	return a.target, nil
}

// objectTypes returns the object's own types.
func (o *object) objectTypes() (*btf.Spec, error) {
	if len(o.coll.BTF) == 0 {
		return nil, inputErr("%s: %w", display(o.path), elf.ErrNoBTF)
	}
	s, err := types.Load(o.coll.BTF)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", display(o.path), err)
	}
	return s, nil
}

func typeNames(s *btf.Spec) []string {
	var names []string
	for t, err := range s.All() {
		if err != nil {
			return names
		}
		if n := t.TypeName(); n != "" {
			names = append(names, n)
		}
	}
	return names
}
