package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/vm"
)

// PtRegs is struct pt_regs of x86-64 (arch/x86/include/asm/ptrace.h): the
// registers as the probe found them, in memory order.
type PtRegs struct {
	R15, R14, R13, R12, BP, BX uint64
	R11, R10, R9, R8           uint64
	AX, CX, DX, SI, DI         uint64
	OrigAX, IP, CS, Flags      uint64
	SP, SS                     uint64
}

// ptRegsSize is sizeof(struct pt_regs).
const ptRegsSize = 21 * 8

// regNames are the names of the fields, in memory order, as the kernel has them.
var regNames = [...]string{
	"r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8",
	"ax", "cx", "dx", "si", "di", "orig_ax", "ip", "cs", "flags", "sp", "ss",
}

// fields returns the registers in memory order.
func (r *PtRegs) fields() [len(regNames)]*uint64 {
	return [...]*uint64{
		&r.R15, &r.R14, &r.R13, &r.R12, &r.BP, &r.BX, &r.R11, &r.R10, &r.R9, &r.R8,
		&r.AX, &r.CX, &r.DX, &r.SI, &r.DI, &r.OrigAX, &r.IP, &r.CS, &r.Flags, &r.SP, &r.SS,
	}
}

// Reg returns the register of a name: "di", and also "rdi" and "arg1" to "arg6"
// (the order of the C calling convention: di, si, dx, cx, r8, r9) and "ret" (ax).
// It returns nil for a name that there is not.
func (r *PtRegs) Reg(name string) *uint64 {
	switch name {
	case "arg1":
		name = "di"
	case "arg2":
		name = "si"
	case "arg3":
		name = "dx"
	case "arg4":
		name = "cx"
	case "arg5":
		name = "r8"
	case "arg6":
		name = "r9"
	case "ret":
		name = "ax"
	}
	for i, n := range regNames {
		if n == name || n[0] != 'r' && name == "r"+n && len(n) == 2 {
			return r.fields()[i]
		}
	}
	return nil
}

// RegNames lists the names that [PtRegs.Reg] knows in the order of memory, without
// the aliases.
func RegNames() []string { return regNames[:] }

// put writes the registers as the program sees them.
func (r *PtRegs) put(b []byte) {
	for i, v := range r.fields() {
		binary.LittleEndian.PutUint64(b[8*i:], *v)
	}
}

// Kprobe is one hit of a kprobe, kretprobe or uprobe: the same context for all of
// them. In a kretprobe AX is the result and IP the return address.
type Kprobe struct {
	Regs PtRegs
	// Entry is the address of the probed function, which bpf_get_func_ip gives;
	// 0: Regs.IP.
	Entry uint64
	CPU   int
}

func (k *Kprobe) accepts(t spec.ProgType) bool { return t == spec.ProgKprobe }
func (k *Kprobe) on() int                      { return k.CPU }

func (k *Kprobe) setup(e *Env, _ *Program) (*vm.Region, error) {
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, ptRegsSize, vm.PermRead)
	if err != nil {
		return nil, err
	}
	k.Regs.put(e.rt.mem.Raw(ctx.Base, ptRegsSize))
	e.entry = k.Entry
	if e.entry == 0 {
		e.entry = k.Regs.IP
	}
	return ctx, nil
}

func (k *Kprobe) finish(*Env, *Result) {}
