package debug_test

import (
	"bytes"
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

// faulty reads 16 bytes of a packet after it has looked at 14.
const faulty = `
.program peek xdp
	r2 = *(u32 *)(r1 +0)
	r3 = *(u32 *)(r1 +4)
	r4 = r2
	r4 += 14
	if r4 > r3 goto out
	r0 = *(u16 *)(r2 +14)
	r0 = 2
	exit
out:
	r0 = 1
	exit
.license "GPL"
`

// calling has a function with a function in it, a callback, and two maps.
const calling = `
.map counts type=array key=4 value=8 max_entries=8
.map names type=hash key=8 value=16 max_entries=8
.program main syscall
	r6 = r1
	r1 = 5
	call outer
	*(u64 *)(r10 -8) = r0
	r1 = 3
	r2 = func[back]
	r3 = r10
	r3 += -8
	r4 = 0
	call bpf_loop
	*(u64 *)(r10 -24) = 7
	r1 = 0x656d616e
	*(u64 *)(r10 -16) = r1
	*(u64 *)(r10 -40) = 1
	*(u64 *)(r10 -32) = 2
	r1 = map[names]
	r2 = r10
	r2 += -16
	r3 = r10
	r3 += -40
	r4 = 0
	call bpf_map_update_elem
	*(u32 *)(r10 -20) = 6
	r1 = map[counts]
	r2 = r10
	r2 += -20
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r1 = *(u64 *)(r10 -8)
	*(u64 *)(r0 +0) = r1
	*(u64 *)(r0 +0) = r1
out:
	r0 = *(u64 *)(r10 -8)
	exit
.func outer static
	r1 += 1
	*(u64 *)(r10 -8) = r1
	call inner
	r1 = *(u64 *)(r10 -8)
	r0 += r1
	exit
.func inner static
	r0 = r1
	r0 *= 2
	exit
.func back static
	r1 = *(u64 *)(r2 +0)
	r1 += 1
	*(u64 *)(r2 +0) = r1
	r0 = 0
	exit
.license "GPL"
`

// assemble makes an object of a source.
func assemble(t testing.TB, src string) []byte {
	t.Helper()
	u, err := isa.Assemble("test.s", []byte(src), isa.Options{HelperID: func(name string) (int32, bool) {
		h := spec.HelperByName(name)
		if h == nil {
			return 0, false
		}
		return int32(h.ID), true
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := elf.Write(u)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}
