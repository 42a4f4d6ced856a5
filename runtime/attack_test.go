package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bpfvm/interp"
	"bpfvm/jit"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// liar is the compiler with facts that nobody has found: every access of every
// program is said to be proven.
type liar struct{ vm.Engine }

func (e liar) Compile(c *vm.Code) (vm.Runner, error) {
	told := *c
	told.Facts = &spec.Facts{Access: make([]spec.AccessFact, len(c.Insns))}
	for pc, ins := range c.Insns.All() {
		if ins.Op.Class().IsMem() && !ins.IsWide() {
			told.Facts.Access[pc] = spec.AccessFact{Kind: spec.MemMapValue, Size: uint8(ins.Op.Size().Bytes())}
		}
	}
	return e.Engine.Compile(&told)
}

// attacks are programs that no verifier would let pass.
func attacks() map[string]string {
	const maps = `
.map values type=array key=4 value=8 max_entries=4
.map percpu type=percpu_array key=4 value=8 max_entries=4
.map table type=hash key=4 value=8 max_entries=16
.map ring type=ringbuf max_entries=4096
`
	const value = `
	*(u32 *)(r10 -4) = 1
	r2 = r10
	r2 += -4
	r1 = map[%s]
	call bpf_map_lookup_elem
`
	progs := map[string]string{
		"endless loop":      "r0 = 0\nagain: r0 += 1\n goto again",
		"endless recursion": "call f\n exit\n.func f static\n call f\n exit",
		"above the stack":   "r2 = r10\nagain: *(u64 *)(r2 +0) = -1\n r2 += 8\n goto again",
		"below the stack":   "r2 = r10\nagain: *(u64 *)(r2 -8) = -1\n r2 += -8\n goto again",
		"past data_end":     "r2 = *(u32 *)(r1 +0)\nagain: *(u8 *)(r2 +0) = 255\n r2 += 4095\n goto again",
		"before data":       "r2 = *(u32 *)(r1 +0)\nagain: *(u64 *)(r2 -32768) = -1\n r2 += -4096\n goto again",
		"context":           "r2 = 0\nagain: *(u64 *)(r1 +0) = -1\n *(u32 *)(r1 -8) = -1\n r1 += 8\n goto again",
		"map handle": "r2 = map[values]\n *(u64 *)(r2 +0) = -1\n *(u64 *)(r2 -8) = -1" + fmt.Sprintf(value, "values") +
			" r1 = map[ring]\n *(u64 *)(r1 +0) = 0\n r2 = 8\n r3 = 0\n call bpf_ringbuf_reserve\n r0 = 0\n exit",
		"ring header": "r1 = map[ring]\n r2 = 16\n r3 = 0\n call bpf_ringbuf_reserve\n r6 = r0\n" +
			" *(u64 *)(r6 -8) = 0x7ffffff0\n *(u64 *)(r6 +16) = -1\n r1 = r6\n r2 = 0\n call bpf_ringbuf_submit\n" +
			" r1 = map[ring]\n r2 = 16\n r3 = 0\n call bpf_ringbuf_reserve\n r0 = 0\n exit",
		"the same byte for all": "r2 = 0x7ffffff0\n r3 = 0x100000000 ll\nagain: r4 = r2\n r4 += r3\n lock *(u64 *)(r4 +0) += r3\n r3 <<= 1\n r2 += 24\n goto again",
		"helper arguments":      "r1 = map[table]\n r2 = 0x8000000000000001 ll\n r3 = r2\n r4 = 0\n call bpf_map_update_elem\n r0 = 0\n exit",
	}
	for _, m := range []string{"values", "percpu", "table"} {
		progs["past the value of "+m] = fmt.Sprintf(value, m) + "r1 = r0\nagain: *(u64 *)(r1 +0) = -1\n r1 += 8\n goto again"
		progs["before the value of "+m] = fmt.Sprintf(value, m) + "again: *(u32 *)(r0 -4) = -1\n r0 += -65536\n goto again"
	}
	for _, v := range []uint64{0, 1, 0xffff, 0x10000, 0x7ffdfff9, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff, 1 << 32, 1<<32 + 0x10000,
		1 << 46, 0xc000000000, 0x7fffffffffff, 0xffff888000000000, 1<<63 - 1, 1 << 63, 0xffffffff80000000, 1<<64 - 1} {
		for _, off := range []int{0, -32768, 32767} {
			name := fmt.Sprintf("%#x%+d", v, off)
			progs["load "+name] = fmt.Sprintf("r1 = %#x ll\n r0 = *(u64 *)(r1 %+d)\n exit", v, off)
			progs["store "+name] = fmt.Sprintf("r1 = %#x ll\n *(u64 *)(r1 %+d) = r1\n r0 = 0\n exit", v, off)
			progs["atomic "+name] = fmt.Sprintf("r1 = %#x ll\n r0 = 1\n lock *(u32 *)(r1 %+d) += r0\n lock *(u64 *)(r1 %+d) += r0\n exit", v, off, off)
		}
	}
	for name, src := range progs {
		progs[name] = ".license \"GPL\"" + maps + ".program p xdp\n" + src + "\n"
	}
	return progs
}

// canaries is memory of Go that nobody may change.
type canaries [][]byte

func newCanaries(n int) canaries {
	c := make(canaries, n)
	for i := range c {
		c[i] = bytes.Repeat([]byte{byte(i) | 1}, 4096)
	}
	return c
}

func (c canaries) check(t *testing.T) {
	t.Helper()
	for i, b := range c {
		if strings.Trim(string(b), string([]byte{byte(i) | 1})) != "" {
			t.Errorf("canary %d has changed", i)
		}
	}
}

// attack runs one program in a runtime of its own and says whether it trapped.
func attack(e vm.Engine, coll *spec.CollectionSpec, budget uint64) (trapped bool, err error) {
	rt, err := runtime.New(runtime.Options{Engine: e, Budget: budget, MemCap: 16 << 20})
	if err != nil {
		return false, err
	}
	defer rt.Close()
	c, err := rt.Load(coll)
	if err != nil {
		return false, err
	}
	for range 2 { // the second run finds what the first has destroyed
		res, err := c.Program("p").Run(&runtime.XDP{Data: make([]byte, 100)})
		if err != nil {
			return false, err
		}
		trapped = res.Trap != nil
	}
	return trapped, nil
}

// siege lets several goroutines run all attacks, with and without lies, while the
// collector works all the time and the profiler interrupts. It returns how many
// runtimes were made.
func siege(t *testing.T, workers int, length time.Duration, each func(n int64)) int64 {
	colls := map[string]*spec.CollectionSpec{}
	for name, src := range attacks() {
		colls[name] = assemble(t, src)
	}
	if err := pprof.StartCPUProfile(&bytes.Buffer{}); err == nil {
		defer pprof.StopCPUProfile()
	}
	guard := newCanaries(256)
	deadline := time.Now().Add(length)
	var made atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			e := jit.Engine
			if w%4 != 3 {
				e = liar{jit.Engine}
			}
			for time.Now().Before(deadline) {
				for name, coll := range colls {
					budget := uint64(20_000)
					if strings.Contains(name, "endless") {
						budget = 300_000
					}
					if _, err := attack(e, coll, budget); err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					if n := made.Add(1); each != nil {
						each(n)
					}
					mine := newCanaries(1)
					mine.check(t)
					if !time.Now().Before(deadline) {
						break
					}
				}
			}
		})
	}
	wg.Go(func() {
		for time.Now().Before(deadline) {
			goruntime.GC()
			time.Sleep(time.Millisecond)
		}
	})
	wg.Wait()
	guard.check(t)
	return made.Load()
}

// The process lives and Go's memory is what it was, whatever programs do and
// whatever the compiler has been told.
func TestAttacks(t *testing.T) {
	if !jit.Native() {
		t.Skip("machine code runs on linux/amd64 only")
	}
	n := siege(t, 8, 1500*time.Millisecond, nil)
	t.Logf("%d attacks", n)
}

// What is not proven traps as it does in the interpreter, at the same instruction.
func TestAttacksTrap(t *testing.T) {
	if !jit.Native() {
		t.Skip("machine code runs on linux/amd64 only")
	}
	for name, src := range attacks() {
		coll := assemble(t, src)
		run := func(e vm.Engine) *vm.Trap {
			rt := newRuntime(t, runtime.Options{Engine: e, Budget: 5_000, MemCap: 16 << 20})
			c, err := rt.Load(coll)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			res, err := c.Program("p").Run(&runtime.XDP{Data: make([]byte, 100)})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return res.Trap
		}
		a, b := run(interp.Fast), run(jit.Engine)
		if a == nil || b == nil || a.Error() != b.Error() || a.Insns != b.Insns {
			t.Errorf("%s: interp: %v, jit: %v", name, a, b)
		}
	}
}

// soakEnv is the variable that says how many seconds TestSoak takes.
const soakEnv = "BPFVM_SOAK"

// TestSoak is TestAttacks for as long as one likes: nothing may leak.
func TestSoak(t *testing.T) {
	seconds, err := strconv.Atoi(os.Getenv(soakEnv))
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		t.Skipf("set %s to a number of seconds, 600 for the whole of it", soakEnv)
	case !jit.Native():
		t.Skip("machine code runs on linux/amd64 only")
	}
	start := time.Now()
	var mu sync.Mutex
	var next time.Time
	var first, last usage
	n := siege(t, 8, time.Duration(seconds)*time.Second, func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		if time.Now().Before(next) {
			return
		}
		next = time.Now().Add(time.Duration(max(seconds/12, 1)) * time.Second)
		last = measureUse(t)
		if first == (usage{}) && time.Since(start) > time.Duration(seconds)*time.Second/6 {
			first = last
		}
		t.Logf("%4.0f s: %6d attacks, %d kB resident, %d mappings", time.Since(start).Seconds(), n, last.rss, last.mappings)
	})
	t.Logf("%d attacks", n)
	if last.rss > 2*first.rss+64<<10 || last.mappings > first.mappings+100 {
		t.Errorf("it grows: %+v, later %+v", first, last)
	}
}

// usage is what the process takes.
type usage struct{ rss, mappings int }

func measureUse(t *testing.T) (u usage) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Error(err)
	}
	for l := range strings.Lines(string(b)) {
		fmt.Sscanf(l, "VmRSS: %d kB", &u.rss)
	}
	m, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Error(err)
	}
	u.mappings = bytes.Count(m, []byte("\n"))
	return u
}
