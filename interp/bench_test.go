package interp

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"bpfvm/isa"
	"bpfvm/vm"
)

// benchKinds are the programs of the speed table: an object of testdata/bench, a
// program of it that needs no relocation, and the frame of packets.pcap that it is
// given.
var benchKinds = []struct {
	object, prog string
	frame        int
}{
	{"alu", "chain64", 0},
	{"alu", "chains4", 0},
	{"alu", "mix32", 0},
	{"bytes", "checksum", 0},
	{"bytes", "sort", 0},
	{"bytes", "crc32", 0},
	{"bytes", "siphash", 0},
	{"parse", "parse", 1},
	{"alu", "empty", 0},
}

const benchDir = "../testdata/bench"

// objectCode cuts one function out of an object's section "xdp".
func objectCode(t testing.TB, object, prog string) *vm.Code {
	t.Helper()
	f, err := elf.Open(filepath.Join(benchDir, object+".bpf.o"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range syms {
		if s.Name != prog || elf.ST_TYPE(s.Info) != elf.STT_FUNC {
			continue
		}
		data, err := f.Sections[s.Section].Data()
		if err != nil {
			t.Fatal(err)
		}
		insns, err := isa.Decode(data[s.Value : s.Value+s.Size])
		if err != nil {
			t.Fatal(err)
		}
		return &vm.Code{Name: prog, Insns: insns, Ctx: testCtx}
	}
	t.Skipf("%s.bpf.o has no function %s", object, prog)
	return nil
}

// benchFrame reads one frame of the benchmark's capture file (microsecond pcap,
// little-endian).
func benchFrame(t testing.TB, n int) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(benchDir, "packets.pcap"))
	if err != nil {
		t.Skip(err)
	}
	for b = b[24:]; ; n-- {
		size := binary.LittleEndian.Uint32(b[8:])
		if n == 0 {
			return b[16 : 16+size]
		}
		b = b[16+size:]
	}
}

// packetBench puts a frame into a region of its own.
func packetBench(t testing.TB, frame []byte) *bench {
	t.Helper()
	b := newBench(t)
	r := b.alloc(t, vm.Spec{Kind: vm.RegionPacket, Size: uint64(len(frame)), Perm: vm.PermRW})
	copy(b.mem.Raw(r.Base, r.Size), frame)
	b.store(t, b.ctx.Base, 4, r.Start)
	b.store(t, b.ctx.Base+4, 4, r.End)
	return b
}

func benchmarkKinds(b *testing.B, e vm.Engine) {
	for _, k := range benchKinds {
		b.Run(k.prog, func(b *testing.B) {
			code := objectCode(b, k.object, k.prog)
			bench := packetBench(b, benchFrame(b, k.frame))
			benchmarkCode(b, e, bench, code)
		})
	}
}

// benchmarkCode reports millions of instructions a second.
func benchmarkCode(b *testing.B, e vm.Engine, bench *bench, code *vm.Code) {
	r := compile(b, e, code)
	var insns uint64
	for b.Loop() {
		bench.m.Reset()
		x, err := r.Run(bench.m, bench.ctx.Base)
		if err != nil {
			b.Fatal(err)
		}
		insns += x.Insns
	}
	b.ReportMetric(float64(insns)/b.Elapsed().Seconds()/1e6, "Minsns/s")
}

func BenchmarkFast(b *testing.B) {
	benchmarkKinds(b, Fast)
	b.Run("subprogs", func(b *testing.B) {
		benchmarkCode(b, Fast, newBench(b), assemble(b, subprogsSource))
	})
	b.Run("helpers", func(b *testing.B) {
		code := assemble(b, helpersSource)
		code.Helpers = map[int32]*vm.Helper{7: {Fn: func(m *vm.Machine, _, _, _, _, _ uint64) (uint64, error) {
			return 4, nil
		}}}
		benchmarkCode(b, Fast, newBench(b), code)
	})
}

// subprogsSource calls a small function 5,000 times.
const subprogsSource = `
	r6 = 1
	r7 = 0
loop:
	r1 = r6
	r2 = r7
	call step
	r6 = r0
	r7 += 1
	if r7 != 5000 goto loop
	r0 = r6
	exit
step:
	r1 *= 0x5851f42d
	r1 += r2
	r0 = r1
	r0 >>= 17
	r0 ^= r1
	exit
`

// helpersSource calls a helper 5,000 times.
const helpersSource = `
	r6 = 5000
loop:
	call 7
	r6 += -1
	if r6 != 0 goto loop
	r0 = r6
	exit
`

// Both loops must agree on what the benchmarks compute.
func TestBenchPrograms(t *testing.T) {
	for _, k := range benchKinds {
		code := objectCode(t, k.object, k.prog)
		var exits [2]vm.Exit
		for i, e := range engines {
			b := packetBench(t, benchFrame(t, k.frame))
			var err error
			if exits[i], err = b.run(t, e, code); err != nil {
				t.Errorf("%s on %s: %v", k.prog, e.Name(), err)
			}
		}
		t.Logf("%s: r0 %#x, %d instructions", k.prog, exits[1].R0, exits[1].Insns)
		if exits[0] != exits[1] {
			t.Errorf("%s: step %+v, interp %+v", k.prog, exits[0], exits[1])
		}
	}
}

func BenchmarkStep(b *testing.B) {
	code := objectCode(b, "bytes", "checksum")
	benchmarkCode(b, Step, packetBench(b, benchFrame(b, 0)), code)
}

// BenchmarkCompile reports millions of slots a second.
func BenchmarkCompile(b *testing.B) {
	g := newGenerator(1, 1<<17, 1<<17)
	g.body(20000)
	g.emit(exit)
	g.bound(0, len(g.insns))
	calls := g.insns[:0:0]
	for _, ins := range g.insns {
		if ins.Op == isa.OpCall {
			ins = isa.Instruction{Op: isa.OpJa}
		}
		calls = append(calls, ins)
	}
	code := &vm.Code{Name: "large", Insns: calls}
	for _, e := range engines {
		b.Run(e.Name(), func(b *testing.B) {
			for b.Loop() {
				compile(b, e, code)
			}
			b.ReportMetric(float64(len(calls))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mslots/s")
		})
	}
}
