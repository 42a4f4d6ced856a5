package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// inSleepable reports whether the program may sleep (in_sleepable).
func (env *env) inSleepable() bool {
	return env.prog.Flags&flagSleepable != 0 || env.cur != nil && env.cur.inSleepable
}

// inRCU reports whether objects that RCU protects stay alive here: within a read
// section, which programs that cannot sleep always are in (in_rcu_cs).
func (env *env) inRCU() bool {
	return env.cur.rcuLocks > 0 || env.cur.activeLocks > 0 || !env.inSleepable()
}

// setBTF makes r a pointer to a structure, with offset zero.
func (r *RegState) setBTF(t RegType, s btf.Type, local bool) {
	r.setPointer(t)
	r.BTF, r.Local = s, local
}

// checkBTFAccess checks an access through a typed kernel pointer, or one to an
// object of the program's own, and sets what a load gives
// (check_ptr_to_btf_access).
func (env *env) checkBTFAccess(regno isa.Register, off, size int, t spec.Access, value int) error {
	r := env.reg(regno)
	name := typeName(r.BTF)
	reject := func(format string, args ...any) error { return env.reject(CodeBTFAccess, format, args...) }
	switch {
	case !env.gpl && !r.Local:
		return env.reject(CodeGPL, "Cannot access kernel 'struct %s' from non-GPL compatible program\n", name)
	case off < 0:
		return reject("R%d is ptr_%s invalid negative access: off=%d\n", regno, name, off)
	case !r.VarOff.IsConst() || r.VarOff.Value != 0:
		return reject("R%d is ptr_%s invalid variable offset: off=%d, var_off=%s\n", regno, name, off, r.VarOff)
	case r.Type&MemUser != 0:
		return reject("R%d is ptr_%s access user memory: off=%d\n", regno, name, off)
	case r.Type&MemPerCPU != 0:
		return reject("R%d is ptr_%s access percpu memory: off=%d\n", regno, name, off)
	}
	alloc := r.Type&MemAlloc != 0
	if t == spec.Write {
		if writable, known := env.structWritable(r); known {
			return env.checkStructWrite(r, off, size, writable)
		}
		if !alloc || r.Type&Untrusted != 0 {
			return reject("only read is supported\n")
		}
	}
	got, w, err := env.accessStruct(r, off, size)
	if err != nil {
		return err
	}
	if t == spec.Write || value < 0 {
		return nil
	}
	d := env.reg(isa.Register(value))
	switch got {
	case Scalar:
		d.setUnknown()
		return nil
	case PtrToMem:
		d.setPointer(PtrToMem | w.flags)
		return nil
	}
	flags := env.walkTrust(r, &w)
	d.setBTF(PtrToBTFID|flags, w.next, r.Local)
	if flags&MaybeNull != 0 {
		d.ID = env.newID()
	}
	return nil
}

// walkTrust is how far a pointer that was loaded from a structure can be trusted,
// from how far the structure can.
func (env *env) walkTrust(r *RegState, w *walked) RegType {
	const trust = trustFlags | MemRCU // clear_trusted_flags
	switch {
	case r.Type&Untrusted != 0:
		return Untrusted
	case !r.trusted() && !r.rcu():
		return w.flags &^ trust // as kernels before did
	}
	nested := func(suffix string) bool { return env.nestedTrust(r.BTF, w.field, w.next, suffix) }
	switch {
	case nested("__safe_trusted"):
		return w.flags | Trusted
	case nested("__safe_trusted_or_null"):
		return w.flags | Trusted | MaybeNull
	case !env.inRCU() || r.Type.maybeNull():
		return Untrusted
	case nested("__safe_rcu"):
		return w.flags | MemRCU
	case nested("__safe_rcu_or_null"):
		return w.flags&^Untrusted | MemRCU | MaybeNull
	case w.flags&MemRCU != 0:
		return w.flags | MaybeNull
	case w.flags&(MemPerCPU|MemUser) != 0:
		return w.flags
	}
	return w.flags &^ trust
}

// structWritable reports whether programs of the type may store to some fields of
// kernel structures, and to which structures (bpf_verifier_ops.btf_struct_access).
func (env *env) structWritable(r *RegState) (fields []writableField, known bool) {
	if r.Type&MemAlloc != 0 {
		return nil, false
	}
	switch env.prog.Type {
	case spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgXDP:
		if r.Type&Untrusted != 0 {
			return nil, false
		}
		if n := typeName(r.BTF); n == "nf_conn" {
			return nfConnFields, true
		} else if n == "nf_conn___init" {
			return nfConnFields, true
		}
		return nil, true
	}
	return nil, false
}

// writableField is a field of a kernel structure that programs may store to.
type writableField struct{ name string }

// nfConnFields: the mark of a connection (net/netfilter/nf_conntrack_bpf.c,
// _nf_conntrack_btf_struct_access).
var nfConnFields = []writableField{{"mark"}}

func (env *env) checkStructWrite(r *RegState, off, size int, fields []writableField) error {
	list, _, _ := members(r.BTF)
	if typeName(r.BTF) == "nf_conn___init" {
		list, _, _ = members(env.kernelStruct("nf_conn"))
	}
	if len(fields) == 0 {
		return env.reject(CodeBTFAccess, "only read is supported\n")
	}
	for _, m := range list {
		if at := int(m.Offset) / 8; m.Name == fields[0].name {
			n, _ := btf.Sizeof(m.Type)
			if off != at {
				break
			}
			if off+size > at+n {
				return env.reject(CodeBTFAccess, "write access at off %d with size %d beyond the member of nf_conn ended at %d\n",
					off, size, at+n)
			}
			return nil
		}
	}
	return env.reject(CodeBTFAccess, "no write support to nf_conn at off %d\n", off)
}

// checkMapFields checks a load from the map object itself, which is a structure of
// the kernel (check_ptr_to_map_access).
func (env *env) checkMapFields(regno isa.Register, off, size int, t spec.Access, value int) error {
	r := env.reg(regno)
	s := env.kernelStruct(mapStructs[r.Map.Type])
	if s == nil {
		return notModelled("access to the fields of a %v", r.Map.Type)
	}
	name := typeName(s)
	if off < 0 {
		return env.reject(CodeBTFAccess, "R%d is %s invalid negative access: off=%d\n", regno, name, off)
	}
	if t != spec.Read {
		return env.reject(CodeBTFAccess, "only read from %s is supported\n", name)
	}
	var as RegState
	as.setBTF(PtrToBTFID, s, false)
	got, w, err := env.accessStruct(&as, off, size)
	if err != nil || value < 0 {
		return err
	}
	d := env.reg(isa.Register(value))
	switch got {
	case PtrToBTFID:
		d.setBTF(PtrToBTFID|w.flags, w.next, false)
		if w.flags&MaybeNull != 0 {
			d.ID = env.newID()
		}
	case PtrToMem:
		d.setPointer(PtrToMem | w.flags)
	default:
		d.setUnknown()
	}
	return nil
}

// mapStructs are the kernel's structures behind maps (bpf_map_ops.map_btf_id).
var mapStructs = map[spec.MapType]string{
	spec.MapArray: "bpf_array", spec.MapPerCPUArray: "bpf_array", spec.MapProgArray: "bpf_array",
	spec.MapPerfEventArray: "bpf_array", spec.MapCgroupArray: "bpf_array", spec.MapArrayOfMaps: "bpf_array",
	spec.MapHash: "bpf_htab", spec.MapPerCPUHash: "bpf_htab", spec.MapLRUHash: "bpf_htab",
	spec.MapLRUPerCPUHash: "bpf_htab", spec.MapHashOfMaps: "bpf_htab",
	spec.MapStackTrace: "bpf_stack_map", spec.MapLPMTrie: "lpm_trie", spec.MapDevmap: "bpf_dtab",
	spec.MapDevmapHash: "bpf_dtab", spec.MapSockmap: "bpf_stab", spec.MapSockhash: "bpf_shtab",
	spec.MapCPUMap: "bpf_cpu_map", spec.MapXSKMap: "xsk_map", spec.MapCgroupStorage: "bpf_cgroup_storage_map",
	spec.MapPerCPUCgroupStorage: "bpf_cgroup_storage_map", spec.MapReuseportSockarray: "reuseport_array",
	spec.MapQueue: "bpf_queue_stack", spec.MapStack: "bpf_queue_stack", spec.MapSKStorage: "bpf_local_storage_map",
	spec.MapInodeStorage: "bpf_local_storage_map", spec.MapTaskStorage: "bpf_local_storage_map",
	spec.MapCgrpStorage: "bpf_local_storage_map", spec.MapRingBuf: "bpf_ringbuf_map",
	spec.MapUserRingBuf: "bpf_ringbuf_map", spec.MapBloomFilter: "bpf_bloom_filter", spec.MapArena: "bpf_arena",
}
