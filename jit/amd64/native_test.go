//go:build linux && amd64

package amd64

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	goruntime "runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"bpfvm/isa"
	"bpfvm/vm"
)

// What machine code and the assembly file know of the context are its fields'
// offsets.
func TestContextOffsets(t *testing.T) {
	var c context
	offsets := map[string]uintptr{
		"ctxRegs": unsafe.Offsetof(c.regs), "ctxBudget": unsafe.Offsetof(c.budget), "ctxArena": unsafe.Offsetof(c.arena),
		"ctxSP": unsafe.Offsetof(c.sp), "ctxGoSP": unsafe.Offsetof(c.goSP), "ctxGoBP": unsafe.Offsetof(c.goBP),
		"ctxInsnsi": unsafe.Offsetof(c.insnsi), "ctxExit": unsafe.Offsetof(c.exit), "ctxImage": unsafe.Offsetof(c.image),
		"ctxEntry": unsafe.Offsetof(c.entry), "ctxMaxTop": unsafe.Offsetof(c.maxTop), "ctxFloor": unsafe.Offsetof(c.floor), "ctxCPU": unsafe.Offsetof(c.cpu),
	}
	for name, v := range map[string]uintptr{
		"ctxRegs": ctxRegs, "ctxBudget": ctxBudget, "ctxArena": ctxArena, "ctxSP": ctxSP, "ctxGoSP": ctxGoSP,
		"ctxGoBP": ctxGoBP, "ctxInsnsi": ctxInsnsi, "ctxExit": ctxExit, "ctxImage": ctxImage,
		"ctxEntry": ctxEntry, "ctxMaxTop": ctxMaxTop, "ctxFloor": ctxFloor, "ctxCPU": ctxCPU,
	} {
		if offsets[name] != v {
			t.Errorf("%s is %d, the field is at %d", name, v, offsets[name])
		}
	}
	if unsafe.Sizeof(c) > ctxBytes {
		t.Errorf("the context has %d bytes", unsafe.Sizeof(c))
	}
	text, err := os.ReadFile("enter_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	defines := regexp.MustCompile(`(?m)^#define (\w+) (\S+)$`).FindAllStringSubmatch(string(text), -1)
	offsets["stackMask"] = stackMask
	for _, d := range defines {
		want := fmt.Sprint(offsets[d[1]])
		switch d[1] {
		case "stackMask":
			want = fmt.Sprintf("%#x", stackMask)
		case "ctxBase":
			want = fmt.Sprint(ctxBase)
		}
		if d[2] != want {
			t.Errorf("enter_amd64.s: %s is %s, want %s", d[1], d[2], want)
		}
	}
	if len(defines) < 10 {
		t.Errorf("%d definitions in enter_amd64.s", len(defines))
	}
}

// wildPrograms try to reach what is not theirs.
func wildPrograms(b *bench) map[string]string {
	progs := map[string]string{
		"endless loop":      "r0 = 0\n goto pc-1\n exit",
		"endless recursion": "call pc-1\n exit",
		"deep stack":        "*(u64 *)(r10 -512) = 1\n call pc-2\n exit",
		"above the frame":   "*(u64 *)(r10 +0) = 1\n r0 = 0\n exit",
		"below the frame":   "*(u64 *)(r10 -520) = 1\n r0 = 0\n exit",
		"last bytes":        "r1 = 0x7ffdfffc ll\n *(u64 *)(r1 +0) = 1\n r0 = 0\n exit",
		"stack scan":        "r1 = r10\n loop: *(u64 *)(r1 +0) = -1\n r1 += 8\n goto loop\n exit",
		"tail of page":      "r1 = r10\n r1 <<= 1\n r0 = *(u64 *)(r1 +32767)\n exit",
	}
	for _, v := range []uint64{0, 1, 0xffff, 0x7ffdfff8, 0x7ffdfff9, 0x7fffffff, 0x80000000, 0x80010000, 0xfffffff8, 0xffffffff,
		1 << 32, 1<<32 + b.value.Base, 0xffff888000000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xffffffff80000000} {
		for _, off := range []int{0, -32768, 32767, -8} {
			name := fmt.Sprintf("%#x%+d", v, off)
			progs["load "+name] = fmt.Sprintf("r1 = %#x ll\n r0 = *(u64 *)(r1 %+d)\n exit", v, off)
			progs["store "+name] = fmt.Sprintf("r1 = %#x ll\n *(u32 *)(r1 %+d) = r1\n r0 = 0\n exit", v, off)
			progs["atomic "+name] = fmt.Sprintf("r1 = %#x ll\n lock *(u64 *)(r1 %+d) += r1\n r0 = 0\n exit", v, off)
		}
	}
	return progs
}

// Programs that no verifier would let pass end as in the interpreter.
func TestWildPrograms(t *testing.T) {
	d := newDuel(t)
	for name, src := range wildPrograms(d.jit) {
		code := assemble(t, src)
		code.Name = name
		if o := d.run(t, code, 300_000); o.trap == nil {
			t.Errorf("%s: no trap", name)
		}
	}
}

// Programs run while the collector works, the profiler interrupts and other
// goroutines run programs of the same code: nothing of Go's memory changes.
func TestStress(t *testing.T) {
	needNative(t)
	length := 2 * time.Second
	if testing.Short() {
		length = 300 * time.Millisecond
	}
	if err := pprof.StartCPUProfile(&bytes.Buffer{}); err == nil {
		defer pprof.StopCPUProfile()
	}
	code := withHelpers(assemble(t, `
	r6 = 3000
	r7 = r1
	r8 = 0
loop:
	r1 = r6
	r2 = r8
	call f
	r8 += r0
	*(u64 *)(r10 -8) = r8
	r1 = r8
	call 9001
	r8 ^= r0
	r6 += -1
	if r6 != 0 goto loop
	r0 = r8
	exit
f:
	r0 = r1
	r0 *= r2
	r0 += 12345
	exit
`))
	alloc := &vm.Helper{Fn: func(_ *vm.Machine, r1, _, _, _, _ uint64) (uint64, error) {
		return uint64(len(make([]byte, r1&1023+1))) + grow(int(r1&63)), nil // moves Go's stack
	}}
	code.Helpers[9001] = alloc
	shared := compile(t, Engine{}, code)
	deadline := time.Now().Add(length)
	var wg sync.WaitGroup
	canaries := make([][]byte, 64)
	for i := range canaries {
		canaries[i] = bytes.Repeat([]byte{byte(i)}, 4096)
	}
	for worker := range 4 {
		b := newBench(t)
		wg.Go(func() {
			var first vm.Exit
			wild := wildPrograms(b)
			for n := 0; time.Now().Before(deadline); n++ {
				b.m.Limit = 1 << 30
				b.m.Reset()
				r := shared
				if n%3 == worker%3 { // compiled here and freed
					r, _ = Engine{}.Compile(code)
				}
				x, err := r.Run(b.m, b.ctx.Base)
				if err != nil {
					t.Errorf("%v", err)
					return
				}
				if n == 0 {
					first = x
				} else if x != first {
					t.Errorf("%+v, before %+v", x, first)
					return
				}
				for _, src := range wild {
					insns, err := isa.AssembleProgram(src)
					if err != nil {
						t.Error(err)
						return
					}
					p, err := Engine{}.Compile(&vm.Code{Name: "wild", Insns: insns})
					if err != nil {
						t.Error(err)
						return
					}
					b.m.Limit = 10_000
					b.m.Reset()
					if _, err := p.Run(b.m, b.ctx.Base); err == nil {
						t.Errorf("%s: no trap", src)
					}
					if time.Now().After(deadline) {
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
	for i, c := range canaries {
		if strings.Trim(string(c), string([]byte{byte(i)})) != "" {
			t.Errorf("canary %d has changed", i)
		}
	}
}

//go:noinline
func grow(n int) uint64 {
	var b [256]byte
	if n == 0 {
		return uint64(b[n])
	}
	return grow(n-1) + uint64(b[n])
}

// An endless loop does not keep the collector waiting.
func TestCollectorDoesNotWait(t *testing.T) {
	needNative(t)
	b := newBench(t)
	r := compile(t, Engine{}, assemble(t, "r1 = 3\n r0 = r1\n loop: r0 /= r1\n r0 s%= r1\n goto loop\n exit"))
	b.m.Limit = 1 << 62
	done := make(chan error)
	b.m.Reset()
	helper := time.AfterFunc(20*time.Second, func() { t.Error("the run does not end"); os.Exit(1) })
	defer helper.Stop()
	b.m.Limit = 50_000_000
	b.m.Reset()
	go func() {
		_, err := r.Run(b.m, b.ctx.Base)
		done <- err
	}()
	n := 0
	for {
		select {
		case err := <-done:
			if err == nil {
				t.Error("no trap")
			}
			t.Logf("%d collections during the run", n)
			return
		default:
			goruntime.GC()
			n++
		}
	}
}

// BenchmarkEmpty is what it costs to call a program that does nothing.
func BenchmarkEmpty(b *testing.B) {
	needNative(b)
	x := newBench(b)
	r := compile(b, Engine{}, assemble(b, "r0 = 2\n exit"))
	for b.Loop() {
		x.m.Reset()
		if _, err := r.Run(x.m, x.ctx.Base); err != nil {
			b.Fatal(err)
		}
	}
}
