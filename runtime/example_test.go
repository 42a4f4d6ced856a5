package runtime_test

import (
	"fmt"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/spec"
)

// A program that drops ARP, written by hand, meets two packets.
func Example() {
	insns, err := isa.AssembleProgram(`
		w0 = 2                   ; XDP_PASS
		r2 = *(u32 *)(r1 +0)     ; data
		r3 = *(u32 *)(r1 +4)     ; data_end
		r4 = r2
		r4 += 14
		if r4 > r3 goto out      ; no room for an Ethernet header
		w5 = *(u16 *)(r2 +12)
		if w5 != 0x608 goto out  ; not ARP
		w0 = 1                   ; XDP_DROP
	out:
		exit`)
	if err != nil {
		fmt.Println(err)
		return
	}
	rt, err := runtime.New(runtime.Options{Engine: interp.Step})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()
	c, err := rt.Load(&spec.CollectionSpec{Programs: []*spec.ProgramSpec{
		{Name: "drop_arp", Section: "xdp", Type: spec.ProgXDP, License: "GPL", Insns: insns},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.AttachAll(); err != nil {
		fmt.Println(err)
		return
	}
	for _, etherType := range []byte{0x06, 0x00} {
		frame := make([]byte, 60)
		frame[12], frame[13] = 0x08, etherType
		f, err := rt.Fire("xdp", &runtime.XDP{Data: frame})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(spec.RetName(spec.ProgXDP, f.Ret), f.Results[0].Insns)
	}
	// Output:
	// XDP_DROP 10
	// XDP_PASS 9
}
