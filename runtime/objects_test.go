package runtime_test

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/jit"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// engines are those that every test runs on.
var engines = allEngines()

// allEngines are the loops of the interpreter and, where machine code runs, the
// compiler.
func allEngines() []vm.Engine {
	list := []vm.Engine{interp.Step, interp.Fast}
	if jit.Native() {
		list = append(list, jit.Engine)
	}
	return list
}

// loadObject reads an object of the repository's testdata.
func loadObject(t testing.TB, name string) *spec.CollectionSpec {
	t.Helper()
	cs, err := elf.Load(filepath.Join("..", "testdata", filepath.FromSlash(name)), elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func newRuntime(t testing.TB, o runtime.Options) *runtime.Runtime {
	t.Helper()
	if o.Engine == nil {
		o.Engine = interp.Step
	}
	rt, err := runtime.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	return rt
}

func load(t testing.TB, rt *runtime.Runtime, cs *spec.CollectionSpec, progs ...string) *runtime.Collection {
	t.Helper()
	c, err := rt.LoadWith(cs, runtime.LoadOptions{Programs: progs})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// frames reads the packets of a capture.
func frames(t testing.TB, name string) [][]byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		all = append(all, data)
	}
}

// The kernel's own answers to each frame are the oracle: testdata/results.txt.
func TestKernelResults(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "results.txt"))
	if err != nil {
		t.Fatal(err)
	}
	captures := map[string][][]byte{}
	for _, engine := range engines {
		t.Run(engine.Name(), func(t *testing.T) {
			for line := range strings.Lines(string(text)) {
				f := strings.Fields(line)
				if len(f) != 7 || f[0] == "#" {
					continue
				}
				if strings.HasPrefix(f[0], "bench/") && testing.Short() {
					continue
				}
				if captures[f[2]] == nil {
					captures[f[2]] = frames(t, f[2])
				}
				n, _ := strconv.Atoi(f[3])
				got := runFrame(t, engine, f[0], f[1], captures[f[2]][n-1])
				if want := strings.Join(f[4:], " "); got != want {
					t.Errorf("%s %s frame %d: %s, kernel %s", f[0], f[1], n, got, want)
				}
			}
		})
	}
}

// runFrame runs a program on a fresh runtime and says what came of it as the
// table of results does.
func runFrame(t *testing.T, engine vm.Engine, object, prog string, frame []byte) string {
	rt, err := runtime.New(runtime.Options{Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	c, err := rt.LoadWith(loadObject(t, object), runtime.LoadOptions{Programs: []string{prog}})
	if err != nil {
		return err.Error()
	}
	p := c.Program(prog)
	var in runtime.Input = &runtime.XDP{Data: frame}
	if p.Type() != spec.ProgXDP {
		in = &runtime.SKB{Data: frame}
	}
	res, err := p.Run(in)
	if err != nil {
		return err.Error()
	}
	if res.Trap != nil {
		return res.Trap.Error()
	}
	return fmt.Sprintf("%#x %d %08x", uint32(res.R0), len(res.Packet), crc32.ChecksumIEEE(res.Packet))
}
