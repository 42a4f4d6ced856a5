package runtime_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/runtime"
)

// timerProg makes a kprobe program: init runs on every event with the address of a
// map value in r6, whose first 16 bytes are the timer; its function counts at +24,
// keeps its key at +32 and the time at +40, and does what body says.
func timerProg(typ, init, body string) string {
	return fmt.Sprintf(`
.license "GPL"
.map m type=%s key=4 value=48 max_entries=4
.program p kprobe/f
	r1 = 0
	*(u64 *)(r10 -56) = r1
	*(u64 *)(r10 -48) = r1
	*(u64 *)(r10 -40) = r1
	*(u64 *)(r10 -32) = r1
	*(u64 *)(r10 -24) = r1
	*(u64 *)(r10 -16) = r1
	*(u32 *)(r10 -4) = 2
	r1 = map[m]
	r2 = r10
	r2 += -4
	r3 = r10
	r3 += -56
	r4 = 1
	call bpf_map_update_elem
	r1 = map[m]
	r2 = r10
	r2 += -4
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r6 = r0
%s
out:
	exit
.section ".text"
.func tick static
	r6 = r3
	r7 = r1
	r1 = *(u64 *)(r6 +24)
	r1 += 1
	*(u64 *)(r6 +24) = r1
	r1 = *(u32 *)(r2 +0)
	*(u64 *)(r6 +32) = r1
	call bpf_ktime_get_ns
	*(u64 *)(r6 +40) = r0
%s
	r0 = 0
	exit
`, typ, init, body)
}

const (
	timerInitStep = "\tr1 = r6\n\tr2 = map[m]\n\tr3 = %d\n\tcall bpf_timer_init\n"
	timerSetStep  = "\tr1 = r6\n\tr2 = func[tick]\n\tcall bpf_timer_set_callback\n"
	timerRunStep  = "\tr1 = r6\n\tr2 = %d\n\tr3 = %d\n\tcall bpf_timer_start\n"
	timerStop     = "\tr1 = r6\n\tcall bpf_timer_cancel\n"
)

func TestTimers(t *testing.T) {
	begin := fmt.Sprintf(timerInitStep, 1) + timerSetStep
	keep := func(step string) string { return step + "\tr8 = r0\n" }
	tests := []struct {
		name, init, body string
		r0               []int64  // of events at 0, 100 and 1000 ns
		after            []string // count, key and time after each
	}{
		{"once", begin + fmt.Sprintf(timerRunStep, 100, 0), "", []int64{0, 0, 0}, []string{"0 0 0", "1 2 100", "2 2 200"}},
		{"at once", begin + fmt.Sprintf(timerRunStep, 0, 0), "", []int64{0, 0, 0}, []string{"1 2 0", "2 2 100", "3 2 1000"}},
		{"at a time", begin + fmt.Sprintf(timerRunStep, 500, 1), "", []int64{0, 0, 0}, []string{"0 0 0", "0 0 0", "2 2 500"}},
		{"again", begin + fmt.Sprintf(timerRunStep, 100, 0), fmt.Sprintf(timerRunStep, 300, 0), []int64{0, 0, 0}, []string{"0 0 0", "1 2 100", "4 2 800"}},
		{"initialised twice", fmt.Sprintf(timerInitStep, 1) + fmt.Sprintf(timerInitStep, 1), "", []int64{-16, -16, -16}, []string{"0 0 0", "0 0 0", "0 0 0"}},
		{"no such clock", fmt.Sprintf(timerInitStep, 2), "", []int64{-22, -22, -22}, []string{"0 0 0", "0 0 0", "0 0 0"}},
		{"no callback", fmt.Sprintf(timerInitStep, 1) + fmt.Sprintf(timerRunStep, 1, 0), "", []int64{-22, -22, -22}, []string{"0 0 0", "0 0 0", "0 0 0"}},
		{"not initialised", timerSetStep, "", []int64{-22, -22, -22}, []string{"0 0 0", "0 0 0", "0 0 0"}},
		{"flags", begin + fmt.Sprintf(timerRunStep, 1, 4), "", []int64{-22, -22, -22}, []string{"0 0 0", "0 0 0", "0 0 0"}},
		{"cancelled", begin + fmt.Sprintf(timerRunStep, 1, 0) + timerStop, "", []int64{1, 1, 1}, []string{"0 0 0", "0 0 0", "0 0 0"}},
		{"cancelled twice", begin + fmt.Sprintf(timerRunStep, 1, 0) + timerStop + timerStop, "", []int64{0, 0, 0}, []string{"0 0 0", "0 0 0", "0 0 0"}},
		{"cancels itself", begin + fmt.Sprintf(timerRunStep, 0, 0), timerStop + "\t*(u64 *)(r6 +32) = r0", []int64{0, 0, 0},
			[]string{"1 18446744073709551581 0", "2 18446744073709551581 100", "3 18446744073709551581 1000"}},
		{"element deleted", begin + fmt.Sprintf(timerRunStep, 50, 0) + keep("\tr1 = map[m]\n\tr2 = r10\n\tr2 += -4\n\tcall bpf_map_delete_elem\n") + "\tr0 = r8", "", []int64{0, 0, 0}, []string{"", "", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{CPUs: 2}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, timerProg("hash", tt.init, tt.body)))
				var after []string
				for i, now := range []uint64{0, 100, 1000} {
					rt.Clock.Set(now)
					res, err := c.Program("p").Run(&runtime.Kprobe{CPU: i % 2})
					if err != nil || res.Trap != nil || int64(res.R0) != tt.r0[i] {
						t.Fatalf("event %d: r0 %d, %v %v", i, int64(res.R0), err, res.Trap)
					}
					for _, run := range res.Timers {
						if run.Func != "tick" || run.Trap != nil || run.Insns == 0 || run.Expires > now {
							t.Errorf("event %d: %+v", i, run)
						}
					}
					v, err := c.Map("m").Lookup(le32(2))
					if err != nil {
						after = append(after, "")
						continue
					}
					after = append(after, strings.Trim(fmt.Sprint(binary.LittleEndian.Uint64(v[24:]), binary.LittleEndian.Uint64(v[32:]), binary.LittleEndian.Uint64(v[40:])), "[]"))
				}
				if diff := cmp.Diff(tt.after, after); diff != "" {
					t.Errorf("count, key, time: -want +got\n%s", diff)
				}
			})
		})
	}
}

// A timer that is always due is an error, not a hang.
func TestEndlessTimer(t *testing.T) {
	src := timerProg("array", fmt.Sprintf(timerInitStep, 1)+timerSetStep+fmt.Sprintf(timerRunStep, 0, 0), fmt.Sprintf(timerRunStep, 0, 0))
	src = strings.Replace(src, "\tr4 = 1\n", "\tr4 = 0\n", 1)
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, src))
		if _, err := c.Program("p").Run(&runtime.Kprobe{}); err == nil || !strings.Contains(err.Error(), "timers: more than 10000 runs") {
			t.Errorf("%v", err)
		}
	})
}
