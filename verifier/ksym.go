package verifier

import (
	"strings"

	"github.com/cilium/ebpf/btf"

	"bpfvm/isa"
	"bpfvm/spec"
)

// findKsym resolves the address of a kernel variable or function that a wide
// instruction loads (check_pseudo_btf_id).
func (env *env) findKsym(pc int) error {
	ref := env.aux[pc].ref
	if ref == nil {
		return notModelled("kernel variables by number")
	}
	k, err := env.kernelTypes()
	if err != nil {
		return notModelled("kernel variable %s without the kernel's BTF", ref.Name)
	}
	var r RegState
	var v *btf.Var
	if k.TypeByName(ref.Name, &v) != nil {
		if env.kernelFunc(ref.Name) == nil {
			if ref.Weak {
				r = constScalar(0)
				env.aux[pc].ksym = &r
				return nil
			}
			return notModelled("kernel variable %s, which is not in the kernel's BTF", ref.Name)
		}
		r.setPointer(PtrToMem | RdOnly)
		env.aux[pc].ksym = &r
		return nil
	}
	if env.opts.Symbol != nil && !env.opts.Symbol(ref.Name) {
		env.insnIdx = pc
		return env.reject(CodeBTFAccess, "ldimm64 failed to find the address for kernel symbol '%s'.\n", ref.Name)
	}
	t := bare(v.Type)
	switch {
	case env.perCPUVar(k, v):
		r.setBTF(PtrToBTFID|MemPerCPU, v.Type, false)
	case isStruct(t):
		r.setBTF(PtrToBTFID, t, false)
	default:
		n, err := btf.Sizeof(t)
		if err != nil {
			return env.reject(CodeBTFAccess, "ldimm64 unable to resolve the size of type '%s': %d\n", typeName(t), -int(eInval))
		}
		r.setPointer(PtrToMem | RdOnly)
		r.MemSize = uint32(n)
	}
	env.aux[pc].ksym = &r
	return nil
}

// perCPUVar reports whether the variable lies in the section of those that each
// CPU has its own of.
func (env *env) perCPUVar(k *btf.Spec, v *btf.Var) bool {
	for t, err := range k.All() {
		if err != nil {
			return false
		}
		ds, ok := t.(*btf.Datasec)
		if !ok || !strings.HasPrefix(ds.Name, ".data..percpu") && !strings.HasPrefix(ds.Name, ".percpu") {
			continue
		}
		for _, s := range ds.Vars {
			if s.Type == btf.Type(v) {
				return true
			}
		}
	}
	return false
}

// returnsInt reports whether a function returns a small number, by its BTF.
func (env *env) returnsInt(sub int) bool {
	f := env.prog.FuncAt(isa.PC(env.subprogs[sub].start))
	if f == nil || f.TypeID == 0 || len(env.opts.BTF) == 0 || env.loadTypes() != nil {
		return true
	}
	t, err := env.types.TypeByID(btf.TypeID(f.TypeID))
	if err != nil {
		return true
	}
	fn, ok := t.(*btf.Func)
	if !ok {
		return true
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	return !ok || isScalarType(bare(proto.Return))
}

// Addresses of the kernel's text (arch/x86/include/asm/page_64_types.h,
// __START_KERNEL_map) stand for those of symbols, which only the running kernel
// knows: each its own, and the same each time.
const (
	kernelText  = 0xffffffff81000000
	symbolApart = 16
)

// symbolAddress is the address of a symbol that the program compares or prints.
func (env *env) symbolAddress(ref *spec.Ref) uint64 {
	if ref.Weak && env.opts.Symbol != nil && !env.opts.Symbol(ref.Name) {
		return 0
	}
	if env.addresses == nil {
		env.addresses = map[string]uint64{}
	}
	v, ok := env.addresses[ref.Name]
	if !ok {
		v = kernelText + symbolApart*uint64(len(env.addresses)+1)
		env.addresses[ref.Name] = v
	}
	return v
}
