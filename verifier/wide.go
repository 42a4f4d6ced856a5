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
			if err := env.findKsym(pc); err != nil {
				return err
			}
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
		for _, aux := range env.aux {
			if aux.mapUsed != nil && aux.mapUsed != m && aux.mapUsed.Type == m.Type {
				return env.reject(CodeMapProgram, "only one cgroup storage of each type is allowed\n")
			}
		}
	}
	tracing := false
	switch env.prog.Type {
	case spec.ProgKprobe, spec.ProgTracepoint, spec.ProgPerfEvent, spec.ProgRawTracepoint, spec.ProgRawTracepointWritable:
		tracing = true
	}
	rec := env.mapRecord(m)
	switch locks := rec.has(fieldSpinLock, fieldResSpinLock); {
	case tracing && rec.has(fieldListHead, fieldRBRoot):
		return env.reject(CodeMapProgram, "tracing progs cannot use bpf_{list_head,rb_root} yet\n")
	case locks && env.prog.Type == spec.ProgSocketFilter:
		return env.reject(CodeMapProgram, "socket filter progs cannot use bpf_spin_lock yet\n")
	case locks && tracing:
		return env.reject(CodeMapProgram, "tracing progs cannot use bpf_spin_lock yet\n")
	case tracing && rec.has(fieldTimer):
		return env.reject(CodeMapProgram, "tracing progs cannot use bpf_timer yet\n")
	case tracing && rec.has(fieldWorkqueue):
		return env.reject(CodeMapProgram, "tracing progs cannot use bpf_wq yet\n")
	}
	if env.prog.Flags&flagSleepable != 0 && !sleepableMaps[m.Type] {
		return env.reject(CodeMapProgram, "Sleepable programs can only use array, hash, ringbuf and local storage maps\n")
	}
	return nil
}

// sleepableMaps may be used by programs that sleep (check_map_prog_compatibility).
var sleepableMaps = map[spec.MapType]bool{
	spec.MapHash: true, spec.MapLRUHash: true, spec.MapArray: true, spec.MapPerCPUHash: true, spec.MapPerCPUArray: true,
	spec.MapLRUPerCPUHash: true, spec.MapArrayOfMaps: true, spec.MapHashOfMaps: true, spec.MapRingBuf: true,
	spec.MapUserRingBuf: true, spec.MapInodeStorage: true, spec.MapSKStorage: true, spec.MapTaskStorage: true,
	spec.MapCgrpStorage: true, spec.MapQueue: true, spec.MapStack: true, spec.MapArena: true,
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
	case isa.PseudoBTFID:
		*d = *env.aux[env.insnIdx].ksym
	case isa.PseudoImm64:
		v, _ := env.insns.Imm64(isa.PC(env.insnIdx))
		if ref := env.aux[env.insnIdx].ref; ref != nil && ref.Kind == spec.RefKsym && v == 0 {
			v = env.symbolAddress(ref)
		}
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
	case spec.ProgExt, spec.ProgStructOps:
		return notModelled("attach target of %v programs by BTF", t)
	case spec.ProgSyscall:
		if env.prog.Flags&flagSleepable == 0 {
			return env.reject(CodeSleep, "Syscall programs can only be sleepable\n")
		}
	}
	if env.prog.Flags&flagSleepable != 0 && !env.canSleep() {
		return env.reject(CodeSleep, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n")
	}
	return nil
}

// canSleep reports program types that may be loaded as sleepable
// (can_be_sleepable).
func (env *env) canSleep() bool {
	switch env.prog.Type {
	case spec.ProgKprobe, spec.ProgSyscall, spec.ProgStructOps:
		return true
	case spec.ProgTracing:
		switch env.prog.Attach {
		case spec.AttachTraceFentry, spec.AttachTraceFexit, spec.AttachModifyReturn, spec.AttachTraceIter:
			return true
		}
	case spec.ProgLSM:
		return env.prog.Attach != spec.AttachLSMCgroup
	}
	return false
}
