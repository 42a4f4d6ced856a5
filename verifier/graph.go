package verifier

import (
	"bpfvm/isa"
)

// Lists and trees of the program's own objects. A root lies in a map value or in an
// object, beside the spin lock that protects it. Who inserts an object gives it
// away, and keeps a pointer that is good as long as the lock is held.

// peekKfuncs return nodes that stay where they are.
var peekKfuncs = []string{"bpf_rbtree_first", "bpf_rbtree_root", "bpf_rbtree_left", "bpf_rbtree_right", "bpf_list_front", "bpf_list_back"}

// setGraphNode makes r a pointer to the node of an object in a list or tree
// (mark_reg_graph_node).
func (r *RegState) setGraphNode(root *specialField) {
	r.setBTF(PtrToBTFID|MemAlloc, root.target, true)
	r.Off = int32(root.nodeOff)
}

// setNonOwning makes r a pointer to an object that something else owns
// (ref_set_non_owning).
func (env *env) setNonOwning(r *RegState) {
	r.Type |= NonOwnRef
	if env.recordOf(r.BTF).has(fieldRefcount) {
		r.Type |= MemRCU
	}
}

// graphRootArg checks a list head or tree root (__process_kf_arg_ptr_to_graph_root).
func (env *env) graphRootArg(meta *kfuncMeta, regno isa.Register, r *RegState, tree bool) error {
	kind := fieldListHead
	if tree {
		kind = fieldRBRoot
	}
	if !r.VarOff.IsConst() {
		return env.reject(CodeGraph, "R%d doesn't have constant offset. %s has to be at the constant offset\n", regno, kind)
	}
	rec := env.regRecord(r)
	off := int(r.Off) + int(int64(r.VarOff.Value))
	f := rec.find(off, kind)
	if f == nil {
		return env.reject(CodeGraph, "%s not found at offset=%d\n", kind, uint32(off))
	}
	if !env.holdsLockOf(r) {
		at := -int(eInval)
		if l := rec.first(fieldSpinLock); l != nil {
			at = l.off
		}
		return env.reject(CodeLock, "bpf_spin_lock at off=%d must be held for %s\n", at, kind)
	}
	meta.root = f
	return nil
}

// graphNodeArg checks an object that is to be put into a list or tree, or taken out
// of it (__process_kf_arg_ptr_to_graph_node).
func (env *env) graphNodeArg(meta *kfuncMeta, i int, regno isa.Register, r *RegState, tree bool) error {
	reject := func(format string, args ...any) error { return env.reject(CodeGraph, format, args...) }
	kind, rootKind := fieldListNode, fieldListHead
	if tree {
		kind, rootKind = fieldRBNode, fieldRBRoot
	}
	if tree && meta.name != "bpf_rbtree_add_impl" {
		if r.Type&NonOwnRef == 0 && r.RefObjID == 0 {
			return reject("%s can only take non-owning or refcounted bpf_rb_node pointer\n", meta.name)
		}
		if env.inLessCallback() {
			return reject("%s not allowed in rbtree cb\n", meta.name)
		}
	} else {
		if r.Type != PtrToBTFID|MemAlloc {
			return reject("arg#%d expected pointer to allocated object\n", i)
		}
		if r.RefObjID == 0 {
			return reject("allocated object must be referenced\n")
		}
	}
	if !r.VarOff.IsConst() {
		return reject("R%d doesn't have constant offset. %s has to be at the constant offset\n", regno, kind)
	}
	off := int(r.Off) + int(int64(r.VarOff.Value))
	if env.regRecord(r).find(off, kind) == nil {
		return reject("%s not found at offset=%d\n", kind, uint32(off))
	}
	root := meta.root
	if root == nil {
		return bug("%s without a root", meta.name)
	}
	if !env.sameStruct(r.BTF, 0, root.target, true, false) {
		return reject("operation on %s expects arg#1 %s at offset=%d in struct %s, but arg is at offset=%d in struct %s\n",
			rootKind, kind, root.nodeOff, typeName(root.target), off, typeName(r.BTF))
	}
	meta.obj, meta.objLocal = r.BTF, r.Local
	if off != root.nodeOff {
		return reject("arg#1 offset=%d, but expected %s at offset=%d in struct %s\n", off, kind, root.nodeOff, typeName(root.target))
	}
	return nil
}

// giveToGraph ends the program's ownership of the object in R2, of which it keeps
// the pointers (ref_convert_owning_non_owning).
func (env *env) giveToGraph(meta *kfuncMeta) error {
	ref := env.reg(isa.R2).RefObjID
	if ref == 0 {
		return bug("%s: no reference", meta.name)
	}
	env.cur.regs(func(_ *FuncState, r *RegState) {
		if r.RefObjID == ref {
			r.RefObjID = 0
			env.setNonOwning(r)
		}
	})
	if !env.cur.release(ref) {
		return env.reject(CodeRefNotHeld, "kfunc %s#%d reference has not been acquired before\n", meta.name, meta.id)
	}
	return nil
}

// lessArgs: the two nodes that a tree's order is asked about
// (set_rbtree_add_callback_state).
func (env *env) lessArgs(meta *kfuncMeta) callbackArgs {
	return func(_, callee *FuncState) error {
		for _, r := range [...]isa.Register{isa.R1, isa.R2} {
			callee.Regs[r].setGraphNode(meta.root)
			env.setNonOwning(&callee.Regs[r])
		}
		return nil
	}
}

// inLessCallback reports whether this runs within the callback that orders a tree,
// with the lock held (in_rbtree_lock_required_cb).
func (env *env) inLessCallback() bool {
	for _, f := range env.cur.Frames[1:] {
		if !f.inCallback {
			continue
		}
		if k := env.kfuncAt(f.CallSite); k != nil && lockedKfuncs[k.Name] && k.Name == "bpf_rbtree_add_impl" {
			return true
		}
	}
	return false
}
