package kernel

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"bpfvm/isa"
	"bpfvm/spec"
)

func TestStats(t *testing.T) {
	for _, test := range []struct {
		log     string
		stats   Stats
		message string
	}{
		{"", Stats{}, ""},
		{
			"verification time 61 usec\nstack depth 8+0\nprocessed 12 insns (limit 1000000) max_states_per_insn 1 total_states 2 peak_states 3 mark_read 4\n",
			Stats{12, 1000000, 1, 2, 3, 4, 61 * time.Microsecond, []int{8, 0}}, "",
		},
		{
			"0: R1=ctx() R10=fp0\nR0 !read_ok\nprocessed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n",
			Stats{Processed: 1, Limit: 1000000}, "R0 !read_ok",
		},
		{"back-edge from insn 1 to 0", Stats{}, "back-edge from insn 1 to 0"},
		{"processed", Stats{}, "processed"},
		{"processed x insns (limit", Stats{}, ""},
	} {
		if diff := cmp.Diff(test.stats, parseStats(test.log)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", test.log, diff)
		}
		if got := (&LoadResult{Log: test.log}).Message(); got != test.message {
			t.Errorf("%q: message %q, want %q", test.log, got, test.message)
		}
	}
}

func TestPrepare(t *testing.T) {
	outer := &spec.MapSpec{Name: "outer", Type: spec.MapHashOfMaps, Contents: []spec.MapKV{{Key: []byte{1}, Map: "inner"}}}
	progs := &spec.MapSpec{Name: "progs", Type: spec.MapProgArray, Contents: []spec.MapKV{{Key: []byte{2}, Program: "b"}}}
	c := &spec.CollectionSpec{
		Name: "made",
		Maps: []*spec.MapSpec{{Name: "unused"}, {Name: "inner"}, outer, progs, {Name: "of_b"}},
		Programs: []*spec.ProgramSpec{
			{
				Name: "a", Insns: isa.Program{{Op: isa.OpLdImm64, Regs: 1}, {}, {Op: isa.OpLdImm64, Regs: 2}, {Imm: 8}, {Op: isa.OpExit}},
				Refs: []spec.Ref{{PC: 0, Name: "outer"}, {PC: 2, Name: "progs", Kind: spec.RefMapValue, Off: 16}},
			},
			{Name: "b", Insns: isa.Program{{Op: isa.OpLdImm64}, {}}, Refs: []spec.Ref{{PC: 0, Name: "of_b"}}},
			{Name: "late", Insns: isa.Program{{Op: isa.OpExit}}, Refs: []spec.Ref{{PC: 7, Name: "inner"}}},
			{Name: "narrow", Insns: isa.Program{{Op: isa.OpExit}}, Refs: []spec.Ref{{PC: 0, Name: "inner"}}},
			{Name: "lost", Insns: isa.Program{{Op: isa.OpExit}}, Refs: []spec.Ref{{PC: 0, Name: "nothing"}}},
		},
	}
	for _, test := range []struct {
		run         bool
		maps, progs []string
	}{
		{false, []string{"inner", "outer", "progs"}, []string{"a"}},
		{true, []string{"inner", "outer", "progs", "of_b"}, []string{"a", "b"}},
	} {
		w, err := prepare(&Job{Spec: c, Program: "a"}, test.run)
		if err != nil {
			t.Fatal(err)
		}
		var maps, progs []string
		for _, m := range w.Maps {
			maps = append(maps, m.Name)
		}
		for _, p := range w.Progs {
			progs = append(progs, p.Name)
		}
		if !cmp.Equal(maps, test.maps) || !cmp.Equal(progs, test.progs) {
			t.Errorf("run %v: maps %v, programs %v; want %v, %v", test.run, maps, progs, test.maps, test.progs)
		}
		want := []byte{
			0x18, 0x11, 0, 0, 0, 0, 0, 0 /**/, 0, 0, 0, 0, 0, 0, 0, 0,
			0x18, 0x22, 0, 0, 0, 0, 0, 0 /**/, 0, 0, 0, 0, 16, 0, 0, 0,
			0x95, 0, 0, 0, 0, 0, 0, 0,
		}
		if !bytes.Equal(w.Progs[0].Insns, want) || !cmp.Equal(w.Progs[0].Maps, []mapFixup{{0, 1}, {2, 2}}) {
			t.Errorf("% x %v", w.Progs[0].Insns, w.Progs[0].Maps)
		}
	}
	if len(progs.Contents) != 1 {
		t.Error("the collection was changed")
	}
	for _, test := range []struct {
		job  Job
		want string
	}{
		{Job{}, "kernel job: no collection"},
		{Job{Spec: c, Program: "x"}, `x: the collection has no program "x"`},
		{Job{Spec: c, Program: "late"}, "late: reference to inner at insn 7, beyond the program's 1 slots"},
		{Job{Spec: c, Program: "narrow"}, "narrow: insn 0 refers to inner but is neither a wide instruction nor a call"},
		{Job{Spec: c, Program: "lost"}, `lost: the collection has no map "nothing"`},
		{Job{Spec: c, Program: "b", Contents: map[string][]spec.MapKV{"gone": nil}}, `b: contents: the collection has no map "gone"`},
		{Job{Spec: c, Program: "b", Contents: map[string][]spec.MapKV{"of_b": {{Program: "z"}}}}, `b: contents of map of_b: the collection has no program "z"`},
		{Job{Spec: &spec.CollectionSpec{Name: "o", BTF: []byte{1}}, Program: "b"}, "o: BTF: no little-endian header in 1 bytes"},
	} {
		if _, err := prepare(&test.job, true); err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// objects returns the BTF of the project's objects.
func objectTypes(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../testdata/*/*.bpf.o")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	all := make(map[string][]byte)
	for _, p := range paths {
		rel, _ := filepath.Rel("../testdata", p)
		if c := object(t, rel); c.BTF != nil {
			all[rel] = c.BTF
		}
	}
	return all
}

// Sanitised types are types still, with the ids that they had.
func TestTypes(t *testing.T) {
	for path, raw := range objectTypes(t) {
		b, err := parseTypes(raw)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		before, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		after, err := btf.LoadSpecFromReader(bytes.NewReader(b.bytes()))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for id := btf.TypeID(1); ; id++ {
			was, err := before.TypeByID(id)
			if errors.Is(err, btf.ErrNotFound) {
				break
			}
			is, err := after.TypeByID(id)
			if err != nil {
				t.Errorf("%s: type %d: %v", path, id, err)
			} else if _, ok := was.(*btf.Datasec); !ok && was.TypeName() != is.TypeName() {
				t.Errorf("%s: type %d was %v, is %v", path, id, was, is)
			}
		}
	}
}

// The kernel takes the types of all objects.
func TestTypesLoad(t *testing.T) {
	k := start(t, Options{})
	for path := range objectTypes(t) {
		c := object(t, path)
		r, err := k.Load(t.Context(), Job{Spec: c, Program: c.Programs[0].Name, Log: LogStats})
		if err != nil || r.Note != "" {
			t.Errorf("%s: %v, note %q", path, err, r.Note)
		}
	}
}

// Types that a compiler leaves to the loader.
func TestExternTypes(t *testing.T) {
	var types []byte
	add := func(words ...uint32) {
		for _, w := range words {
			types = le.AppendUint32(types, w)
		}
	}
	b := &typesBlob{strings: []byte("\x00a\x00.ksyms\x00f\x00")}
	add(0, btfFuncProto<<24|1, 0, 0, 5) // 1: void (int)
	add(b.str("f"), btfFunc<<24|linkageExtern, 1)
	add(b.str("a"), btfVar<<24, 0, linkageExtern) // 3: extern const void a
	add(b.str(".ksyms"), btfDatasec<<24|2, 0, 2, 0, 0, 3, 0, 0)
	add(b.str("int"), btfInt<<24, 4, 1<<24|32)
	b.types = types
	raw := b.bytes()
	made, err := parseTypes(raw)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	s, err := btf.LoadSpecFromReader(bytes.NewReader(made.bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for id := btf.TypeID(2); id <= 4; id++ {
		typ, err := s.TypeByID(id)
		if err != nil {
			t.Fatal(err)
		}
		switch typ := typ.(type) {
		case *btf.Func:
			text.WriteString(typ.Name + " " + typ.Linkage.String() + " " + typ.Type.(*btf.FuncProto).Params[0].Name + "\n")
		case *btf.Var:
			text.WriteString(typ.Name + " " + typ.Linkage.String() + " " + typ.Type.TypeName() + "\n")
		case *btf.Struct:
			text.WriteString("struct of " + typ.Members[1].Type.TypeName() + "\n")
		}
	}
	if diff := cmp.Diff("f global arg\na global int\nstruct of int\n", text.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Whatever comes in, what comes out can be taken apart again and stays as it is.
func FuzzTypes(f *testing.F) {
	for _, raw := range objectTypes(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := parseTypes(raw)
		if err != nil {
			return
		}
		b.extInfo(&spec.ProgramSpec{
			Funcs: []spec.Func{{TypeID: 2}}, Lines: []spec.Line{{Text: "x"}},
		})
		once := b.bytes()
		again, err := parseTypes(once)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.bytes(), once) {
			t.Error("a second pass changes types")
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	k := start(b, Options{})
	c := object(b, "xdp/good.bpf.o")
	for _, level := range []LogLevel{LogNone, LogInsns} {
		b.Run(map[LogLevel]string{LogNone: "verdict", LogInsns: "log"}[level], func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Load(b.Context(), Job{Spec: c, Program: "drop_arp", Log: level}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			if _, err := k.Load(b.Context(), Job{Spec: c, Program: "drop_arp", NoBTF: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRun(b *testing.B) {
	k := start(b, Options{})
	job := Job{Spec: object(b, "xdp/good.bpf.o"), Program: "drop_arp", NoBTF: true}
	inputs := make([]Input, 8)
	for i := range inputs {
		inputs[i].Data = make([]byte, 64)
	}
	for b.Loop() {
		if _, err := k.Run(b.Context(), job, inputs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	start(b, Options{})
	for b.Loop() {
		k, err := Start(b.Context(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		k.Close()
	}
}
