package kernel

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/elf"
	"bpfvm/isa"
)

func TestCutSlots(t *testing.T) {
	line := func(addr uint64, pc int) JitedLine {
		return JitedLine{addr, Line{File: "slots", Line: pc + 1}}
	}
	p := &ProgInfo{
		Jited:      []JitedFunc{{Name: "f", Addr: 0x1000, Code: []byte{1, 2, 3, 4, 5}}, {Name: "g", Addr: 0x2000, Code: []byte{6, 7}}, {Name: "h", Code: []byte{8}}},
		JitedLines: []JitedLine{line(0x1000, 0), line(0x1003, 2), line(0x1003, 3), line(0x2000, 9)},
	}
	want := []SlotCode{
		{PC: 0, Func: "f", Addr: 0x1000, Code: []byte{1, 2, 3}},
		{PC: 3, Func: "f", Addr: 0x1003, Code: []byte{4, 5}}, // slot 2 has no code
		{PC: 9, Func: "g", Addr: 0x2000, Code: []byte{6, 7}},
		{PC: -1, Func: "h", Code: []byte{8}},
	}
	if d := cmp.Diff(want, cutSlots(p)); d != "" {
		t.Error(d)
	}
}

// Every slot of a real program has its machine code, and all of the image is there.
func TestJitedBySlot(t *testing.T) {
	k := start(t, Options{})
	cs, err := elf.Load("../testdata/bench/bytes.bpf.o", elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, slots, err := k.JitedBySlot(t.Context(), Job{Spec: cs, Program: "checksum"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Prog == nil || r.Prog.JitedLen == 0 {
		t.Skipf("no machine code: %v %s", r.Verdict, r.Reason)
	}
	total := 0
	seen := map[isa.PC]bool{}
	for _, s := range slots {
		total += len(s.Code)
		seen[s.PC] = true
	}
	if total != int(r.Prog.JitedLen) {
		t.Errorf("%d bytes, the image has %d", total, r.Prog.JitedLen)
	}
	if slots[0].Addr == 0 {
		t.Skip("the kernel does not tell addresses")
	}
	for pc := range cs.Program("checksum").Insns.All() {
		if !seen[pc] {
			t.Errorf("slot %d has no machine code", pc)
		}
	}
}
