package cli

import (
	"fmt"

	"bpfvm/runtime"
)

// verify sorts out the loaded programs that the verifier does not accept: they run
// with --unverified only. It returns an error when none is left, or when the one
// that was asked for is not accepted.
func (r *running) verify() error {
	loaded := r.coll.Programs()
	if r.prog != "" {
		loaded = []*runtime.Program{r.coll.Program(r.prog)}
	}
	for _, p := range loaded {
		r.accepted = append(r.accepted, p.Name())
	}
	if r.f.unverified {
		return nil
	}
	r.accepted = r.accepted[:0]
	var refused []verified
	for _, p := range loaded {
		v, err := verifyProgram(r.o, p.Spec(), verifyFlags{})
		if err != nil {
			return err
		}
		if v.Verdict == "accepted" {
			r.accepted = append(r.accepted, v.Name)
			continue
		}
		refused = append(refused, v)
	}
	for _, v := range refused {
		exit, why := exitNegative, fmt.Sprintf("%s: rejected by the verifier (%s)", v.Name, v.Code)
		if v.Verdict == "not_modelled" {
			exit, why = exitUnsupported, fmt.Sprintf("%s: the verifier does not know %s", v.Name, v.report.Feature)
		}
		if len(r.accepted) == 0 {
			if exit == exitNegative && !r.a.jsonWanted() {
				r.a.writeVerdict(v, verifyFlags{})
			}
			r.a.suggest(r.o.path, "bpfvm verify "+display(r.o.path)+":"+v.Name)
			return withCode(exit, fmt.Errorf("%s; --unverified runs it all the same, with every access checked", why))
		}
		ref := refusal{Object: display(r.o.path), What: "program", Name: v.Name, Error: why, Exit: exit}
		r.doc.Skipped = append(r.doc.Skipped, ref)
		r.a.tellRefused([]refusal{ref})
	}
	return nil
}
