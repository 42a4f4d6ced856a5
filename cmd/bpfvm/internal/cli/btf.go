package cli

import (
	"bytes"
	delf "debug/elf"
	"fmt"
	"strings"

	"bpfvm/elf"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"
)

// hostBTF is where the running kernel publishes its types.
const hostBTF = "/sys/kernel/btf/vmlinux"

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
	case "host":
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

// writeBTF prints one type with its offsets, or all named types, as C.
func (a *app) writeBTF(o *object, name string) error {
	s, err := o.objectTypes()
	if err != nil {
		return err
	}
	if name != allTypes {
		bare := name
		for _, kind := range []string{"struct ", "union ", "enum "} {
			bare = strings.TrimPrefix(bare, kind)
		}
		t, err := types.TypeByName(s, bare)
		if err != nil {
			return inputErr("%s: no type %q%s", display(o.path), name, didYouMean(bare, typeNames(s)))
		}
		fmt.Fprintln(a.out, strings.TrimRight(types.Define(t, true), "\n"))
		return nil
	}
	first := true
	for t, err := range s.All() {
		if err != nil {
			return fmt.Errorf("%s: %w", display(o.path), err)
		}
		if !isDefinition(t) {
			continue
		}
		if !first {
			fmt.Fprintln(a.out)
		}
		first = false
		fmt.Fprintln(a.out, strings.TrimRight(types.Define(t, false), "\n"))
	}
	return nil
}

// isDefinition reports whether C would define the type by its name.
func isDefinition(t btf.Type) bool {
	switch t.(type) {
	case *btf.Struct, *btf.Union, *btf.Enum, *btf.Typedef, *btf.Func:
		return t.TypeName() != ""
	}
	return false
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
