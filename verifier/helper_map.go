package verifier

import "bpfvm/spec"

// mapFits refuses helpers that do not go with the map
// (check_map_func_compatibility).
func (env *env) mapFits(m *spec.MapSpec, id spec.HelperID) error {
	h := spec.HelperByID(id)
	if m == nil || h.TakesMap(m.Type, env.prog.Type, env.prog.Attach) {
		return nil
	}
	if (m.Type == spec.MapSockmap || m.Type == spec.MapSockhash) && (id == helperMapUpdate || id == helperMapDelete) {
		env.say("cannot update sockmap in this context\n")
	}
	return env.reject(CodeMapHelper, "cannot pass map_type %d into func %s#%d\n", m.Type, h.Name, id)
}
