package amd64_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/jit/amd64"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

const testdata = "../../testdata"

// objects are all objects of the repository's testdata.
func objects(t testing.TB) (list []string) {
	t.Helper()
	err := filepath.WalkDir(testdata, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".bpf.o") {
			list = append(list, path)
		}
		return err
	})
	if err != nil || len(list) == 0 {
		t.Fatalf("%d objects, %v", len(list), err)
	}
	return list
}

func load(t testing.TB, e vm.Engine, path string) *runtime.Collection {
	t.Helper()
	_, c := loadRuntime(t, e, path)
	return c
}

func loadRuntime(t testing.TB, e vm.Engine, path string) (*runtime.Runtime, *runtime.Collection) {
	t.Helper()
	cs, err := elf.Load(path, elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(runtime.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	c, err := rt.LoadWith(cs, runtime.LoadOptions{})
	if err != nil {
		t.Skipf("%s: %v", path, err)
	}
	return rt, c
}

// Every program of the objects compiles, and its listing accounts for every byte.
func TestObjectsCompile(t *testing.T) {
	for _, path := range objects(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c := load(t, amd64.Engine{}, path)
			for _, p := range c.Programs() {
				name := p.Name()
				r, err := p.Func()
				if errors.Is(err, errors.ErrUnsupported) {
					_, ierr := interp.Fast.Compile(p.Code())
					if ierr == nil {
						t.Errorf("%s: %v, but interp runs it", name, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				n := 0
				prog := r.(*amd64.Program)
				lines, err := prog.Listing(isa.Printer{})
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				for _, l := range lines {
					for _, x := range l.X86 {
						n += len(x.Bytes)
					}
				}
				if n != prog.Size() {
					t.Errorf("%s: the listing has %d of %d bytes", name, n, prog.Size())
				}
				t.Logf("%s: %d slots, %d bytes, %.1f a slot", name, len(p.Insns()), n, float64(n)/float64(len(p.Insns())))
			}
		})
	}
}

// frames reads the packets of a capture.
func frames(t testing.TB, path string) (list [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, _, err := r.ReadPacketData()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
}

// The XDP programs do the same with the captured packets on both engines.
func TestObjectsRun(t *testing.T) {
	if !amd64.Native {
		t.Skip("machine code does not run on this host")
	}
	packets := append(frames(t, testdata+"/bench/packets.pcap"), frames(t, testdata+"/xdp/packets.pcap")...)
	runs := 0
	for _, path := range objects(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			a, b := load(t, interp.Fast, path), load(t, amd64.Engine{}, path)
			runs += sameRuns(t, a, b, packets)
		})
	}
	t.Logf("%d runs", runs)
}

// sameRuns runs the XDP programs of both collections and compares what comes out.
func sameRuns(t *testing.T, a, b *runtime.Collection, packets [][]byte) (runs int) {
	t.Helper()
	for _, p := range a.Programs() {
		if p.Type() != spec.ProgXDP {
			continue
		}
		for i, pkt := range packets {
			x, err1 := p.Run(&runtime.XDP{Data: bytes.Clone(pkt)})
			y, err2 := b.Program(p.Name()).Run(&runtime.XDP{Data: bytes.Clone(pkt)})
			if d := cmp.Diff(describe(x, err1), describe(y, err2)); d != "" {
				t.Errorf("%s, packet %d: (-interp +jit)\n%s", p.Name(), i, d)
			}
			runs++
		}
	}
	return runs
}

func describe(r runtime.Result, err error) string {
	s := fmt.Sprintf("%d %d %v %x %x %v %v", r.R0, r.Insns, err, r.Packet, r.Ctx, r.Trace, r.Records)
	if r.Trap != nil {
		s += r.Trap.Error()
	}
	return s
}
