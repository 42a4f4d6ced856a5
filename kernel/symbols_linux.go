package kernel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"bpfvm/isa"
	"bpfvm/spec"
)

// What a program names of the running kernel is looked up in its BTF
// (/sys/kernel/btf/vmlinux) and in /proc/kallsyms. Modules are not searched.

// kernelID returns the BTF id of a function, variable or typedef of the kernel.
func kernelID[T btf.Type](name string) (uint32, error) {
	vmlinux, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, fmt.Errorf("types of the running kernel: %w", err)
	}
	var typ T
	if err := vmlinux.TypeByName(name, &typ); err != nil {
		if errors.Is(err, btf.ErrNotFound) {
			return 0, fmt.Errorf("the running kernel has no %s %s", strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", typ), "*btf.")), name)
		}
		return 0, err
	}
	id, err := vmlinux.TypeID(typ)
	return uint32(id), err
}

// attachTarget returns the BTF id of what a program is for, where its type wants
// to know that at load time (libbpf.c, libbpf_find_attach_btf_id).
func attachTarget(p *wireProg) (uint32, error) {
	prefix := ""
	switch p.Type {
	case spec.ProgTracing:
		switch p.Attach {
		case spec.AttachTraceRawTP:
			id, err := kernelID[*btf.Typedef]("btf_trace_" + p.AttachTo)
			return id, untried(p, err)
		case spec.AttachTraceIter:
			prefix = "bpf_iter_"
		}
	case spec.ProgLSM:
		prefix = "bpf_lsm_"
	case spec.ProgExt:
		return 0, untried(p, errors.New("extension programs need another program as target, which is not supported"))
	case spec.ProgStructOps:
		return 0, untried(p, errors.New("struct_ops programs are not supported"))
	default:
		return 0, nil
	}
	if p.AttachTo == "" {
		return 0, untried(p, errors.New("the section names no target"))
	}
	id, err := kernelID[*btf.Func](prefix + p.AttachTo)
	return id, untried(p, err)
}

func untried(p *wireProg, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("target of %s: %w", p.Name, err)
}

// poisonKfunc is what libbpf puts into a call of a weak function that is not
// there; the verifier refuses it if it can be reached (libbpf.c,
// POISON_CALL_KFUNC_BASE).
const poisonKfunc = 2002000000

// fixKernel fills in one symbol.
func fixKernel(insns []byte, f kernelFixup) error {
	le := binary.LittleEndian
	at := insns[f.PC*isa.SlotSize:]
	var value uint64
	var err error
	switch f.Kind {
	case fixKfuncCall, fixKfuncAddr:
		var id uint32
		id, err = kernelID[*btf.Func](f.Name)
		value = uint64(id)
	case fixKsymBTF:
		var id uint32
		id, err = kernelID[*btf.Var](f.Name)
		value = uint64(id)
	case fixKsymAddr:
		value, err = symbolAddress(f.Name)
	}
	switch {
	case err != nil && !f.Weak:
		return fmt.Errorf("insn %d: %w", f.PC, err)
	case err != nil && f.Kind == fixKfuncCall:
		at[1] = at[1] & 0xf // a helper's call, of a helper that does not exist
		le.PutUint32(at[4:], poisonKfunc)
		return nil
	case err != nil:
		at[1] = at[1] & 0xf // the constant 0
		value = 0
	}
	le.PutUint32(at[4:], uint32(value))
	if f.Kind != fixKfuncCall {
		le.PutUint32(at[12:], uint32(value>>32))
	}
	return nil
}

// symbolAddress looks a symbol up in kallsyms.
func symbolAddress(name string) (uint64, error) {
	var addr uint64
	found := false
	err := eachSymbol(func(a uint64, n string) bool {
		if n == name {
			addr, found = a, true
		}
		return !found
	})
	switch {
	case err != nil:
		return 0, err
	case !found:
		return 0, fmt.Errorf("the running kernel has no symbol %s", name)
	case addr == 0:
		return 0, fmt.Errorf("the running kernel hides the address of %s", name)
	}
	return addr, nil
}

// symbolsAt returns the names of the given addresses.
func symbolsAt(addrs []uint64) (map[uint64]string, error) {
	names := make(map[uint64]string, len(addrs))
	for _, a := range addrs {
		if a != 0 {
			names[a] = ""
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	err := eachSymbol(func(a uint64, n string) bool {
		if _, ok := names[a]; ok {
			names[a] = n
		}
		return true
	})
	return names, err
}

// eachSymbol reads /proc/kallsyms until fn says to stop.
func eachSymbol(fn func(addr uint64, name string) bool) error {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() { // address type name [module]
		addr, rest, _ := strings.Cut(lines.Text(), " ")
		_, rest, _ = strings.Cut(rest, " ")
		name, _, _ := strings.Cut(rest, "\t")
		if a, err := strconv.ParseUint(addr, 16, 64); err == nil && !fn(a, name) {
			break
		}
	}
	return lines.Err()
}
