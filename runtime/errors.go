package runtime

import (
	"errors"
	"fmt"

	"bpfvm/isa"
	"bpfvm/spec"
)

// UnsupportedError names something that exists in Linux but not here: a map type,
// a helper, a kernel function, a program type. It wraps errors.ErrUnsupported.
type UnsupportedError struct {
	What string // "helper", "map type", "kfunc", "ksym", "program type", ...
	Name string // as the kernel writes it: "bpf_fib_lookup", "lru_hash"
	Map  string // the map that needs it, or empty
	Prog string // the program that needs it, or empty
	PC   isa.PC // the instruction, where What is something that code refers to
	Op   isa.Opcode
}

// Error says what and where.
func (e *UnsupportedError) Error() string {
	what := fmt.Sprintf("%s %s is not supported", e.What, e.Name)
	switch {
	case e.Map != "":
		return fmt.Sprintf("map %q: %s", e.Map, what)
	case e.Prog != "" && e.Op != 0:
		return fmt.Sprintf("%s insn %d (%#02x): %s", e.Prog, e.PC, uint8(e.Op), what)
	case e.Prog != "":
		return fmt.Sprintf("%s: %s", e.Prog, what)
	}
	return what
}

// Unwrap returns errors.ErrUnsupported.
func (e *UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// ProgError is a fault that the kernel, too, finds when it loads a program.
type ProgError struct {
	Prog  string
	PC    isa.PC
	Op    isa.Opcode
	Msg   string // the kernel's words where it has some
	Errno spec.Errno
}

// Error says where and what: "count insn 7 (0x85): program of this type cannot
// use helper bpf_probe_read#4".
func (e *ProgError) Error() string {
	return fmt.Sprintf("%s insn %d (%#02x): %s", e.Prog, e.PC, uint8(e.Op), e.Msg)
}

// Unwrap returns the number.
func (e *ProgError) Unwrap() error { return e.Errno }

// joinErrors joins the errors in the given order and is nil for none.
func joinErrors(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
