package spec_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"bpfvm/spec"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// The tables against the running kernel. These tests load thousands of tiny
// programs and attach none. They need a 6.18 kernel, whose facts the tables hold,
// and the right to load programs of every type.

func needKernel(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("loads thousands of programs")
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || !bytes.HasPrefix(release, []byte("6.18.")) {
		t.Skipf("the tables are of Linux 6.18, the running kernel is %q", bytes.TrimSpace(release))
	}
	if err := load(spec.ProgKprobe, 0, "GPL", exit(0)); err != nil {
		t.Skipf("cannot load programs: %v", err)
	}
}

func exit(r0 int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, r0), asm.Return()}
}

func load(typ spec.ProgType, attach spec.AttachType, license string, insns asm.Instructions) error {
	ps := &ebpf.ProgramSpec{
		Type: ebpf.ProgramType(typ), AttachType: ebpf.AttachType(attach), License: license, Instructions: insns,
	}
	switch {
	case typ == spec.ProgTracing && attach == spec.AttachTraceIter:
		ps.AttachTo = "tcp" // which has all that others have
	case typ == spec.ProgTracing:
		ps.AttachTo = "sched_switch"
	case typ == spec.ProgStructOps:
		ps.AttachTo = "tcp_congestion_ops:ssthresh"
	case typ == spec.ProgSyscall:
		ps.Flags = 1 << 4 // BPF_F_SLEEPABLE
	}
	p, err := ebpf.NewProgram(ps)
	if err != nil {
		return err
	}
	return p.Close()
}

// tried are the program types that load without a target, with attach types that
// between them allow everything that the type allows.
var tried = []struct {
	typ    spec.ProgType
	attach []spec.AttachType
}{
	{spec.ProgSocketFilter, []spec.AttachType{0}},
	{spec.ProgKprobe, []spec.AttachType{0}},
	{spec.ProgSchedCls, []spec.AttachType{0}},
	{spec.ProgSchedAct, []spec.AttachType{0}},
	{spec.ProgTracepoint, []spec.AttachType{0}},
	{spec.ProgXDP, []spec.AttachType{0, spec.AttachXDPDevmap}},
	{spec.ProgPerfEvent, []spec.AttachType{0}},
	{spec.ProgCgroupSKB, []spec.AttachType{spec.AttachCgroupInetIngress, spec.AttachCgroupInetEgress}},
	{spec.ProgCgroupSock, []spec.AttachType{spec.AttachCgroupInetSockCreate, spec.AttachCgroupInet4PostBind, spec.AttachCgroupInet6PostBind}},
	{spec.ProgLWTIn, []spec.AttachType{0}},
	{spec.ProgLWTOut, []spec.AttachType{0}},
	{spec.ProgLWTXmit, []spec.AttachType{0}},
	{spec.ProgSockOps, []spec.AttachType{spec.AttachCgroupSockOps}},
	{spec.ProgSKSKB, []spec.AttachType{0}},
	{spec.ProgCgroupDevice, []spec.AttachType{spec.AttachCgroupDevice}},
	{spec.ProgSKMsg, []spec.AttachType{spec.AttachSKMsgVerdict}},
	{spec.ProgRawTracepoint, []spec.AttachType{0}},
	{spec.ProgLWTSeg6Local, []spec.AttachType{0}},
	{spec.ProgRawTracepointWritable, []spec.AttachType{0}},
	{spec.ProgCgroupSockAddr, sockAddrTypes},
	{spec.ProgSKReuseport, []spec.AttachType{spec.AttachSKReuseportSelect, spec.AttachSKReuseportSelectOrMigrate}},
	{spec.ProgFlowDissector, []spec.AttachType{spec.AttachFlowDissector}},
	{spec.ProgCgroupSysctl, []spec.AttachType{spec.AttachCgroupSysctl}},
	{spec.ProgCgroupSockopt, []spec.AttachType{spec.AttachCgroupGetsockopt, spec.AttachCgroupSetsockopt}},
	{spec.ProgSKLookup, []spec.AttachType{spec.AttachSKLookup}},
	{spec.ProgNetfilter, []spec.AttachType{spec.AttachNetfilter}},
	{spec.ProgTracing, []spec.AttachType{spec.AttachTraceRawTP, spec.AttachTraceIter}},
	{spec.ProgStructOps, []spec.AttachType{0}},
	{spec.ProgSyscall, []spec.AttachType{0}},
}

// sockAddrTypes are the attach types of cgroup_sock_addr programs.
var sockAddrTypes = func() []spec.AttachType {
	var types []spec.AttachType
	for _, a := range spec.AttachTypes() {
		if a.Prog == spec.ProgCgroupSockAddr {
			types = append(types, a.Type)
		}
	}
	return types
}()

func TestKernelHelpers(t *testing.T) {
	needKernel(t)
	// What this kernel withholds by policy or configuration says nothing.
	withheld := map[string]bool{
		"bpf_probe_write_user": true, "bpf_override_return": true,
		// For fentry, fexit and fmod_ret, which not every machine loads.
		"bpf_get_func_arg": true, "bpf_get_func_ret": true, "bpf_get_func_arg_cnt": true,
	}
	for _, try := range tried {
		for _, h := range spec.Helpers() {
			if withheld[h.Name] {
				continue
			}
			allowed, gpl := false, false
			for _, attach := range try.attach {
				license := "BSD"
				if try.typ == spec.ProgStructOps {
					license = "GPL" // others cannot be loaded
				}
				err := load(try.typ, attach, license, append(asm.Instructions{asm.BuiltinFunc(h.ID).Call()}, exit(0)...))
				text := ""
				if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
					text = strings.Join(ve.Log, "\n")
				}
				switch {
				case strings.Contains(text, "cannot use helper"), strings.Contains(text, "unknown func"), strings.Contains(text, "invalid func"):
					if spec.HelperAllowedAt(try.typ, attach, h.ID) {
						t.Errorf("%s in %s attached %s: the kernel refuses, the table allows", h.Name, try.typ, attach)
					}
				case err != nil && text == "":
					t.Fatalf("%s in %s: %v", h.Name, try.typ, err)
				default:
					allowed = true
					gpl = gpl || strings.Contains(text, "GPL")
					if !spec.HelperAllowedAt(try.typ, attach, h.ID) {
						t.Errorf("%s in %s attached %s: the kernel allows, the table refuses", h.Name, try.typ, attach)
					}
				}
			}
			if want := spec.HelperAllowed(try.typ, h.ID); allowed != want {
				t.Errorf("%s in %s: the kernel says %v, the table %v", h.Name, try.typ, allowed, want)
			}
			if allowed && try.typ != spec.ProgStructOps && gpl != h.NeedsGPL(try.typ) {
				t.Errorf("%s in %s: GPL only: the kernel says %v, the table %v", h.Name, try.typ, gpl, h.NeedsGPL(try.typ))
			}
		}
	}
}

func TestKernelContexts(t *testing.T) {
	needKernel(t)
	sizes := map[uint32]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word, 8: asm.DWord}
	for _, try := range tried {
		ctx := try.typ.Ctx()
		if ctx.Name == "tracepoint" || try.typ == spec.ProgTracing || try.typ == spec.ProgStructOps || try.typ == spec.ProgSyscall {
			continue // any offset up to the largest event's size is readable at load; the target's prototype decides
		}
		for off := uint32(0); off < ctx.Size+8; off++ {
			if try.typ == spec.ProgRawTracepointWritable && off > 0 && off < 8 {
				continue // the kernel guards the buffer's pointer at its first byte only
			}
			for size, op := range sizes {
				if off >= 16 && off%size != 0 {
					continue // never allowed; the first fields show that
				}
				for _, access := range []spec.Access{spec.Read, spec.Write} {
					insns := asm.Instructions{asm.LoadMem(asm.R2, asm.R1, int16(off), op)}
					if access == spec.Write {
						insns = asm.Instructions{asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R1, int16(off), asm.R2, op)}
					}
					f := ctx.FieldAt(off)
					for _, attach := range try.attach {
						if len(try.attach) > 3 && (f == nil || f.Attach == nil) && attach != try.attach[0] {
							continue // seventeen hooks agree about all other fields
						}
						// 1 is a return value that every type takes.
						allowed := load(try.typ, attach, "GPL", append(insns[:len(insns):len(insns)], exit(1)...)) == nil
						if _, want := ctx.CheckAccessAt(try.typ, attach, access, off, size); allowed != want {
							name := "nothing"
							if f != nil {
								name = f.Name
							}
							t.Errorf("%s attached %s: access %d of %d bytes at %d (%s): the kernel says %v, the table %v",
								try.typ, attach, access, size, off, name, allowed, want)
						}
					}
				}
			}
		}
	}
}

// Two frames of 400 bytes load only where frames have stacks of their own.
func TestKernelStacks(t *testing.T) {
	needKernel(t)
	frame := func(first asm.Instruction) asm.Instructions {
		return asm.Instructions{first, asm.StoreMem(asm.R10, -400, asm.R0, asm.DWord)}
	}
	insns := append(frame(asm.Mov.Imm(asm.R0, 0)), asm.Call.Label("sub"))
	insns = append(insns, exit(1)...)
	insns = append(insns, frame(asm.Mov.Imm(asm.R0, 0).WithSymbol("sub"))...)
	insns = append(insns, asm.Return())
	for _, try := range tried {
		err := load(try.typ, try.attach[0], "GPL", insns)
		if got, want := err == nil, spec.HasPrivateStack(try.typ, try.attach[0]); got != want {
			t.Errorf("%s: private stacks: the kernel says %v (%v), the table %v", try.typ, got, err, want)
		}
	}
}
