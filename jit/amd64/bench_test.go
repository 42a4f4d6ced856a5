package amd64_test

import (
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/jit/amd64"
	"bpfvm/runtime"
	"bpfvm/vm"
)

// benchKinds are the programs of the speed table: an object of testdata/bench, a
// program of it and the packet that it is given. Those that need maps are measured
// with the runtime.
var benchKinds = []struct {
	object, prog string
	packet       int
	helpers      bool // needs the runtime around it
}{
	{"alu", "empty", 0, false},
	{"alu", "chain64", 0, false},
	{"alu", "chains4", 0, false},
	{"alu", "mix32", 0, false},
	{"bytes", "checksum", 0, false},
	{"bytes", "sort", 0, false},
	{"bytes", "crc32", 0, false},
	{"bytes", "siphash", 0, false},
	{"parse", "parse", 1, false},
	{"calls", "subprogs", 0, false},
	{"calls", "helpers", 0, true},
	{"calls", "array_map", 0, true},
	{"calls", "hash_map", 0, true},
}

// BenchmarkEngines runs the machine code or the interpreter on a machine whose
// packet and context lie ready: nothing but the run is measured.
func BenchmarkEngines(b *testing.B) {
	packets := frames(b, testdata+"/bench/packets.pcap")
	for _, k := range benchKinds {
		b.Run(k.prog, func(b *testing.B) {
			for _, e := range []vm.Engine{interp.Fast, amd64.Engine{}} {
				b.Run(e.Name(), func(b *testing.B) {
					rt, c := loadRuntime(b, e, testdata+"/bench/"+k.object+".bpf.o")
					code := c.Program(k.prog).Code()
					r, err := e.Compile(code)
					if err != nil {
						b.Fatal(err)
					}
					if k.helpers {
						in := &runtime.XDP{Data: packets[k.packet]}
						for b.Loop() {
							if _, err := c.Program(k.prog).Run(in); err != nil {
								b.Fatal(err)
							}
						}
						return
					}
					bench(b, r, rt.Machine(0), packets[k.packet])
				})
			}
		})
	}
}

func bench(b *testing.B, r vm.Runner, m *vm.Machine, packet []byte) {
	mem := m.Mem
	ctx, err := mem.Alloc(vm.Spec{Kind: vm.RegionCtx, Size: 24, Perm: vm.PermRead})
	if err != nil {
		b.Fatal(err)
	}
	pkt, err := mem.Alloc(vm.Spec{Kind: vm.RegionPacket, Size: uint64(len(packet)), Perm: vm.PermRW})
	if err != nil {
		b.Fatal(err)
	}
	copy(mem.Raw(pkt.Base, pkt.Size), packet)
	for i, v := range []uint64{pkt.Base, pkt.Base + pkt.Size, pkt.Base} {
		copy(mem.Raw(ctx.Base+uint64(4*i), 4), []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
	}
	insns := uint64(0)
	for b.Loop() {
		m.Reset()
		x, err := r.Run(m, ctx.Base)
		if err != nil {
			b.Fatal(err)
		}
		insns = x.Insns
	}
	b.ReportMetric(float64(insns), "insns")
	b.ReportMetric(float64(insns)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Minsns/s")
}

// BenchmarkHelper is one exit to Go and the way back.
func BenchmarkHelper(b *testing.B) {
	insns, err := isa.AssembleProgram("r6 = 1000\n loop: call 7\n r6 += -1\n if r6 != 0 goto loop\n exit")
	if err != nil {
		b.Fatal(err)
	}
	code := &vm.Code{Name: "helper", Insns: insns, Helpers: map[int32]*vm.Helper{7: {
		Fn: func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 4, nil },
	}}}
	for _, e := range []vm.Engine{interp.Fast, amd64.Engine{}} {
		b.Run(e.Name(), func(b *testing.B) {
			r, err := e.Compile(code)
			if err != nil {
				b.Fatal(err)
			}
			mem, err := vm.NewMemory(0)
			if err != nil {
				b.Fatal(err)
			}
			defer mem.Close()
			m, err := vm.NewMachine(mem)
			if err != nil {
				b.Fatal(err)
			}
			bench(b, r, m, nil)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/call")
		})
	}
}

// BenchmarkCompile compiles the largest program of the kinds.
func BenchmarkCompile(b *testing.B) {
	for _, e := range []vm.Engine{interp.Fast, amd64.Engine{}} {
		b.Run(e.Name(), func(b *testing.B) {
			code := load(b, e, testdata+"/bench/bytes.bpf.o").Program("siphash").Code()
			for b.Loop() {
				if _, err := e.Compile(code); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(code.Insns))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mslots/s")
		})
	}
}
