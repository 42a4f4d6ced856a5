package amd64

import (
	"strings"
	"testing"
)

func TestSmoke(t *testing.T) {
	d := newDuel(t)
	o := d.run(t, assemble(t, "r0 = 42\n exit"), 1000)
	if o.exit.R0 != 42 {
		t.Error(o)
	}
}

func TestLoop(t *testing.T) {
	d := newDuel(t)
	code := assemble(t, `
r0 = 0
r1 = 10
loop:
r0 += r1
*(u64 *)(r10 -8) = r0
r0 = *(u64 *)(r10 -8)
r1 += -1
if r1 != 0 goto loop
r1 = r0
call sub
exit
sub:
r0 = r1
r0 *= 2
exit
`)
	full := d.run(t, code, 1000)
	for limit := range full.exit.Insns + 2 {
		d.run(t, code, limit)
	}
}

// A straight line longer than machine code may run without looking in on Go.
func TestLongLine(t *testing.T) {
	d := newDuel(t)
	src := "r0 = -1\n r1 = 1\n r6 = 3\n loop:\n" + strings.Repeat("r0 ^= r1\n r1 += 7\n", 3*yieldEvery/2) +
		"r6 -= 1\n if r6 != 0 goto pc+1\n exit\n gotol loop\n"
	code := assemble(t, src)
	full := d.run(t, code, 1<<30)
	if full.trap != nil {
		t.Fatal(full.trap)
	}
	n := full.exit.Insns
	d.run(t, code, n, n-1, n/2, yieldEvery+2, yieldEvery+3, yieldEvery+4)
}
