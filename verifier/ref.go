package verifier

import "slices"

// acquire notes a resource that the current instruction took and returns its id
// (acquire_reference_state).
func (env *env) acquire() uint32 {
	id := env.newID()
	env.cur.refs = append(env.cur.refs, reference{id: id, insn: env.insnIdx})
	return id
}

// release takes a reference off the list; false if it is not there
// (release_reference_nomark).
func (s *State) release(id uint32) bool {
	for i, r := range s.refs {
		if r.kind == refPointer && r.id == id {
			s.refs = slices.Delete(s.refs, i, i+1)
			return true
		}
	}
	return false
}

// releaseAll ends a reference and makes every copy of its pointer a number of
// which nothing is known (release_reference).
func (env *env) releaseAll(id uint32) bool {
	if !env.cur.release(id) {
		return false
	}
	env.cur.regs(func(_ *FuncState, r *RegState) {
		if r.RefObjID == id {
			*r = unknownScalar()
		}
	})
	return true
}

// checkLeaks refuses to leave the program with resources in hand, or within a
// section; what says how it is left (check_resource_leak). all is for ways that
// leave all frames at once: tail calls of old, exceptions.
func (env *env) checkLeaks(all, sections bool, what string) error {
	if all || env.cur.curFrame() == 0 {
		held := false
		for _, r := range env.cur.refs {
			if r.kind == refPointer {
				env.say("Unreleased reference id=%d alloc_insn=%d\n", r.id, r.insn)
				held = true
			}
		}
		if held {
			return env.reject(CodeRefLeak, "%s would lead to reference leak\n", what)
		}
	}
	if sections {
		return env.leaveSections(what)
	}
	return nil
}
