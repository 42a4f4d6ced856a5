package interp

import "testing"

func TestSmoke(t *testing.T) {
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
	for _, e := range engines {
		b := newBench(t)
		x, err := b.run(t, e, code)
		if err != nil || x.R0 != 110 {
			t.Errorf("%s: %+v %v", e.Name(), x, err)
		}
		for _, lim := range []uint64{0, 1, 5, 10, 30, 50, 55, 56} {
			b.m.Limit = lim
			x, err := b.run(t, e, code)
			t.Logf("%s: %d %+v %v", e.Name(), lim, x, err)
		}
	}
}
