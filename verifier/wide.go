package verifier

import (
	"fmt"
	"math"

	"bpfvm/isa"
	"bpfvm/spec"
)

func sprintPC(pc int) string { return fmt.Sprintf("%d: ", pc) }

// resolveWide checks what needs no path: that opcodes and reserved fields are in
// order in wide instructions, and that the maps which they name exist and allow
// it (resolve_pseudo_ldimm64).
func (env *env) resolveWide() error {
	used := map[*spec.MapSpec]bool{}
	for pc := 0; pc < len(env.insns); pc++ {
		env.insnIdx = pc
		ins := env.insns[pc]
		if ins.Op.Class() == isa.ClassLDX &&
			(ins.Op.Mode() != isa.ModeMEM && ins.Op.Mode() != isa.ModeMEMSX || ins.Imm != 0) {
			return env.reject(CodeReserved, "BPF_LDX uses reserved fields\n")
		}
		if !ins.IsWide() {
			if len(isa.OpsByOpcode(ins.Op)) == 0 {
				return env.reject(CodeBadOpcode, "unknown opcode %02x\n", uint8(ins.Op))
			}
			continue
		}
		if pc+1 >= len(env.insns) || env.insns[pc+1].Op != 0 || env.insns[pc+1].Regs != 0 || env.insns[pc+1].Off != 0 {
			return env.reject(CodeBadWide, "invalid bpf_ld_imm64 insn\n")
		}
		switch kind := isa.Pseudo(ins.Src()); kind {
		case isa.PseudoImm64, isa.PseudoFunc:
		case isa.PseudoBTFID:
			if ref := env.aux[pc].ref; ref != nil {
				return notModelled("kernel variable %s", ref.Name)
			}
			return notModelled("kernel variables")
		case isa.PseudoMapFD, isa.PseudoMapIdx, isa.PseudoMapValue, isa.PseudoMapIdxValue:
			ref := env.aux[pc].ref
			if ref == nil {
				return env.reject(CodeBadWide, "fd %d is not pointing to valid bpf_map\n", ins.Imm)
			}
			m := env.maps[ref.Name]
			if m == nil {
				return fmt.Errorf("map %q, which slot %d uses, is not in the options", ref.Name, pc)
			}
			if err := env.mapForProgram(m); err != nil {
				return err
			}
			env.aux[pc].mapUsed = m
			if kind == isa.PseudoMapValue || kind == isa.PseudoMapIdxValue {
				if err := env.directValue(m, ref.Off); err != nil {
					return err
				}
			}
			if used[m] = true; len(used) > spec.MaxUsedMaps {
				return env.reject(CodeTooManyMaps, "The total number of maps per program has reached the limit of %d\n", spec.MaxUsedMaps)
			}
		default:
			return env.reject(CodeBadWide, "unrecognized bpf_ld_imm64 insn\n")
		}
		pc++
	}
	env.insnIdx = -1
	return nil
}

// directValue checks an address inside of a map's only value.
func (env *env) directValue(m *spec.MapSpec, off uint32) error {
	switch {
	case m.Type == spec.MapArena:
		return notModelled("arenas")
	case off >= maxVarOff:
		return env.reject(CodeBadWide, "direct value offset of %d is not allowed\n", off)
	case m.Type != spec.MapArray:
		return env.reject(CodeBadWide, "no direct value access support for this map type\n")
	case m.MaxEntries != 1 || off >= m.ValueSize:
		return env.reject(CodeBadWide, "invalid access to map value pointer, value_size=%d off=%d\n", m.ValueSize, off)
	}
	return nil
}

// mapForProgram refuses maps that do not go with the program
// (check_map_prog_compatibility).
func (env *env) mapForProgram(m *spec.MapSpec) error {
	switch m.Type {
	case spec.MapStructOps:
		return env.reject(CodeMapProgram, "bpf_struct_ops map cannot be used in prog\n")
	case spec.MapArena:
		return notModelled("arenas")
	case spec.MapCgroupStorage, spec.MapPerCPUCgroupStorage:
		return notModelled("cgroup storage maps")
	}
	return nil
}

// checkLdImm checks a wide instruction on a path (check_ld_imm).
func (env *env) checkLdImm(ins isa.Instruction) error {
	if ins.Op.Size() != isa.SizeDW {
		return env.reject(CodeBadWide, "invalid BPF_LD_IMM insn\n")
	}
	if ins.Off != 0 {
		return env.reject(CodeReserved, "BPF_LD_IMM64 uses reserved fields\n")
	}
	if err := env.defineReg(ins.Dst()); err != nil {
		return err
	}
	d := env.reg(ins.Dst())
	switch isa.Pseudo(ins.Src()) {
	case isa.PseudoImm64:
		v, _ := env.insns.Imm64(isa.PC(env.insnIdx))
		d.setConst(v)
	case isa.PseudoFunc:
		t, _ := env.insns.CallTarget(isa.PC(env.insnIdx))
		sub := env.subprogAt(int(t))
		switch {
		case len(env.prog.Funcs) == 0 || env.prog.Funcs[0].TypeID == 0:
			return env.reject(CodeCallback, "missing btf func_info\n")
		case sub > 0 && env.subprogs[sub].global:
			return env.reject(CodeCallback, "callback function not static\n")
		case sub == 0:
			return env.reject(CodeCallback, "callback function cannot be the main program\n")
		}
		d.setPointer(PtrToFunc)
		d.Subprog = int32(sub)
	case isa.PseudoMapFD, isa.PseudoMapIdx:
		d.setPointer(ConstPtrToMap)
		d.Map = env.aux[env.insnIdx].mapUsed
	case isa.PseudoMapValue, isa.PseudoMapIdxValue:
		d.setPointer(PtrToMapValue)
		d.Map = env.aux[env.insnIdx].mapUsed
		if off := env.aux[env.insnIdx].ref.Off; off <= math.MaxInt32 {
			d.Off = int32(off)
		}
	}
	return nil
}

// programTypeModelled names the program types whose context, arguments and
// result are those of a kernel function that only BTF tells.
func (env *env) programTypeModelled() error {
	switch t := env.prog.Type; t {
	case spec.ProgTracing, spec.ProgLSM, spec.ProgExt, spec.ProgStructOps, spec.ProgRawTracepointWritable:
		return notModelled("attach target of %v programs by BTF", t)
	case spec.ProgLircMode2:
		return notModelled("%v programs, which depend on the kernel's configuration", t)
	case spec.ProgNetfilter:
		return notModelled("context of %v programs by BTF", t)
	case spec.ProgSyscall:
		if env.prog.Flags&flagSleepable == 0 {
			return env.reject(CodeSleep, "Syscall programs can only be sleepable\n")
		}
	}
	if env.prog.Flags&flagSleepable != 0 && env.prog.Type != spec.ProgKprobe && env.prog.Type != spec.ProgSyscall {
		return env.reject(CodeSleep, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n")
	}
	return nil
}
