package verifier

import (
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
)

// FuzzVerify: whatever the slots say, the verifier comes to an end, says the same
// twice and never contradicts itself.
func FuzzVerify(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(isa.Encode(genProgram(seed, seed%2 == 0)), uint8(seed))
	}
	types := []spec.ProgType{spec.ProgSocketFilter, spec.ProgXDP, spec.ProgSchedCls, spec.ProgKprobe, spec.ProgTracepoint, spec.ProgCgroupSock}
	f.Fuzz(func(t *testing.T, b []byte, typ uint8) {
		p, err := isa.Decode(b[:len(b)&^7])
		if err != nil || len(p) == 0 || len(p) > 256 {
			return
		}
		s := &spec.ProgramSpec{Name: "f", Type: types[int(typ)%len(types)], License: "GPL", Insns: p}
		opts := Options{LogLevel: LogLevel2, MaxInsns: 5000, LogLimit: 1 << 20}
		r, err := Verify(s, opts)
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict == Rejected && (Explain(r.Code) == nil || r.Message == "") {
			t.Fatalf("a refusal without code or text: %q %q", r.Code, r.Message)
		}
		again, err := Verify(s, opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Log, again.Log); diff != "" {
			t.Fatal(diff)
		}
	})
}
