package amd64

import "testing"

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
