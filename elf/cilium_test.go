package elf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// ownObjects returns the objects that the module ships.
func ownObjects(t testing.TB) []string {
	t.Helper()
	list, err := filepath.Glob("../testdata/*/*.o")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ciliumObjects returns the little-endian objects in the test data of the
// cilium/ebpf module.
func ciliumObjects(t testing.TB) []string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/ebpf").Output()
	if err != nil {
		t.Skipf("no go command to find the module github.com/cilium/ebpf with: %v", err)
	}
	var list []string
	err = filepath.WalkDir(strings.TrimSpace(string(dir)), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".elf") && !strings.HasSuffix(path, "-eb.elf") {
			list = append(list, path)
		}
		return err
	})
	if err != nil || len(list) == 0 {
		t.Skipf("the module github.com/cilium/ebpf comes without test objects here (%v)", err)
	}
	return list
}

// corpusObjects returns the objects below the folder that BPFVM_CORPUS names.
func corpusObjects(t testing.TB) []string {
	root := os.Getenv("BPFVM_CORPUS")
	if root == "" {
		return nil
	}
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".o") {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// targetTypes returns what CO-RE is computed against: the running kernel's types
// where there are any, else the embedded ones.
func targetTypes(t testing.TB) *btf.Spec {
	t.Helper()
	if target, err := btf.LoadSpec("/sys/kernel/btf/vmlinux"); err == nil {
		return target
	}
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// TestAgainstCilium links objects with cilium/ebpf as well and compares maps and
// every function, slot by slot, after CO-RE.
func TestAgainstCilium(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("cilium/ebpf applies CO-RE on Linux only")
	}
	target := targetTypes(t)
	compared, slots := 0, 0
	for _, path := range slices.Concat(ownObjects(t), ciliumObjects(t), corpusObjects(t)) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			theirs, err := ebpf.LoadCollectionSpec(path)
			if err != nil {
				t.Skipf("cilium/ebpf refuses it: %v", err)
			}
			ours, err := elf.Load(path, elf.Options{Target: target})
			if ours == nil {
				t.Fatal(err)
			}
			refused := make(map[string]bool)
			if list, ok := errors.AsType[elf.ErrorList](err); ok {
				for _, pe := range list.Programs() {
					refused[pe.Program] = true
				}
			}
			compareMaps(t, ours, theirs)
			for _, name := range slices.Sorted(mapKeys(theirs.Programs)) {
				want, err := ciliumFunctions(theirs.Programs[name], theirs.Types, target)
				p := ours.Program(name)
				switch {
				case refused[name]:
					continue
				case p == nil && isSubprogram(ours, name):
					continue
				case p == nil:
					t.Errorf("program %s is missing", name)
					continue
				case err != nil:
					t.Logf("program %s: cilium/ebpf: %v", name, err)
					continue
				}
				if p.Section != theirs.Programs[name].SectionName {
					t.Errorf("program %s: section %q, want %q", name, p.Section, theirs.Programs[name].SectionName)
				}
				// Classic section names are matched by prefix there and by a table
				// here, and struct_ops gets its target from its map.
				if rule, _, ok := spec.MatchSection(p.Section); ok && rule.Match != spec.MatchClassic && rule.Type != spec.ProgStructOps {
					th := theirs.Programs[name]
					if uint32(p.Type) != uint32(th.Type) || uint32(p.Attach) != uint32(th.AttachType) || rule.Match == spec.MatchExactOrPrefix && p.AttachTo != th.AttachTo || p.Flags != th.Flags {
						t.Errorf("program %s in %s: type %v attach %v to %q flags %#x; cilium/ebpf: %v, %v to %q flags %#x", name, p.Section,
							p.Type, p.Attach, p.AttachTo, p.Flags, th.Type, th.AttachType, th.AttachTo, th.Flags)
					}
				}
				got := ourFunctions(p)
				compared++
				slots += len(p.Insns)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("program %s (-cilium +ours):\n%s", name, diff)
				}
			}
		})
	}
	t.Logf("%d programs of %d slots compared", compared, slots)
}

func isSubprogram(c *spec.CollectionSpec, name string) bool {
	return slices.ContainsFunc(c.Programs, func(p *spec.ProgramSpec) bool {
		return slices.ContainsFunc(p.Funcs, func(f spec.Func) bool { return f.Name == name })
	})
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestCiliumObjects reads every little-endian object of the cilium/ebpf module's
// test data: each is inspected, and what is refused of it is listed here with the
// reason. An object that is not listed must be usable as a whole.
func TestCiliumObjects(t *testing.T) {
	want := map[string][]string{ // parts of the refusals, in order
		"btf/testdata/relocs-el.elf":           nil,
		"btf/testdata/tags-el.elf":             {`program "prog": symbol "fwdDecl": BTF declares it in neither`},
		"testdata/fwd_decl-el.elf":             {`program "call_fwd": symbol "fwd"`},
		"testdata/invalid_btf_map_init-el.elf": {`map "hash_map": byte 0x8 of the section is 0x1`},
		"testdata/linked1-el.elf":              {`program "entry_l2": symbol "l2"`},
		"testdata/linked2-el.elf":              {`program "entry_l1": symbol "l1"`},
		"testdata/loader-clang-14-el.elf":      {`program "asm_relocation": symbol "MY_CONST"`},
		"testdata/loader-clang-17-el.elf":      {`program "asm_relocation": symbol "MY_CONST"`},
		"testdata/loader-clang-22-el.elf":      {`program "asm_relocation": symbol "MY_CONST"`},
		"testdata/loader_nobtf-el.elf":         {`program "asm_relocation": symbol "MY_CONST"`},
		"testdata/struct_ops-el.elf":           {`struct_ops maps: unsupported`},
	}
	objects := ciliumObjects(t)
	for _, path := range objects {
		name := filepath.ToSlash(path[strings.LastIndex(path, "@"):])
		_, name, _ = strings.Cut(name, "/")
		t.Run(name, func(t *testing.T) {
			f, err := elf.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			info := f.Inspect(elf.Options{Name: name})
			if len(info.Sections) == 0 || len(info.Symbols) == 0 {
				t.Errorf("inspect shows %d sections, %d symbols", len(info.Sections), len(info.Symbols))
			}
			_, err = f.Collection(elf.Options{Name: name})
			list, _ := errors.AsType[elf.ErrorList](err)
			if len(list) != len(want[name]) {
				t.Fatalf("%d refusals, want %d:\n%v", len(list), len(want[name]), err)
			}
			for i, part := range want[name] {
				if !strings.Contains(list[i].Error(), part) {
					t.Errorf("refusal %v\nwant %s", list[i], part)
				}
			}
		})
	}
	t.Logf("%d objects", len(objects))
}

// compareMaps compares what both know about a map.
func compareMaps(t *testing.T, ours *spec.CollectionSpec, theirs *ebpf.CollectionSpec) {
	t.Helper()
	for _, name := range slices.Sorted(mapKeys(theirs.Maps)) {
		want := theirs.Maps[name]
		if want.Type == ebpf.StructOpsMap {
			continue
		}
		got := ours.Map(name)
		if got == nil {
			t.Errorf("map %s is missing", name)
			continue
		}
		type def struct {
			Type                          uint32
			Key, Value, MaxEntries, Flags uint32
			Extra                         uint64
			Inner                         bool
			Contents                      int
		}
		w := def{uint32(want.Type), want.KeySize, want.ValueSize, want.MaxEntries, want.Flags, want.MapExtra,
			want.InnerMap != nil, len(want.Contents)}
		g := def{uint32(got.Type), got.KeySize, got.ValueSize, got.MaxEntries, uint32(got.Flags), got.Extra,
			got.Inner != nil, len(got.Contents)}
		// The other library sets this flag when it creates the map.
		g.Flags &^= uint32(spec.MapMmapable)
		w.Flags &^= uint32(spec.MapMmapable)
		switch got.Type {
		case spec.MapRingBuf, spec.MapUserRingBuf, spec.MapPerfEventArray:
			// Completed when it creates the map.
			g.MaxEntries, w.MaxEntries = 0, 0
			g.Key, w.Key, g.Value, w.Value = 0, 0, 0, 0
		}
		if name == ".kconfig" {
			g.Contents, w.Contents = 0, 0 // filled in when it creates the map
		} else if strings.HasPrefix(name, ".") {
			if value, _ := want.Contents[0].Value.([]byte); !bytes.Equal(value, got.Contents[0].Value) {
				t.Errorf("map %s: contents differ", name)
			}
		}
		if diff := cmp.Diff(w, g); diff != "" {
			t.Errorf("map %s (-cilium +ours):\n%s", name, diff)
		}
	}
}

// ourFunctions writes a program's functions as text, one line a slot; references
// are by name, since places differ with the order of subprograms.
func ourFunctions(p *spec.ProgramSpec) map[string][]string {
	out := make(map[string][]string)
	for i, fn := range p.Funcs {
		end := isa.PC(len(p.Insns))
		if i+1 < len(p.Funcs) {
			end = p.Funcs[i+1].PC
		}
		var lines []string
		for pc := fn.PC; pc < end; pc++ {
			in := p.Insns[pc]
			if c := coreAt(p, pc); c != nil && (c.Poison || c.Note != "" && strings.HasPrefix(c.Kind, "t") && c.Kind != "type_exists" && c.Kind != "type_matches") {
				// cilium/ebpf poisons an LDDW by another LDDW, and also poisons sizes
				// and ids of missing types, which libbpf lets read as 0.
				lines = append(lines, "poison")
				if in.IsWide() || c.Poison && p.Insns[pc+1].Imm == 0xbad2310 && coreAt(p, pc+1) == nil {
					pc++
				}
				continue
			}
			ref := ""
			if r := p.RefAt(pc); r != nil {
				ref = r.Name
			}
			if in.IsPseudoCall() || in.IsWide() && isa.Pseudo(in.Src()) == isa.PseudoFunc {
				ref = p.FuncAt(pc + 1 + isa.PC(in.Imm)).Name
			}
			if in.Op == 0xbf && in.Off == 1 {
				in.Off = 0 // addr_space_cast, whose offset that library loses
			}
			if r := p.RefAt(pc); r != nil && in.IsWide() && (r.Kind == spec.RefKfunc || r.Kind == spec.RefKsym) {
				in = in.WithSrc(0) // which it sets when it loads the program
			}
			ref, _, _ = strings.Cut(ref, "___")
			lines = append(lines, slotText(in, ref))
			if in.IsWide() {
				pc++
				if second := p.Insns[pc]; ref == ".kconfig" {
					lines = append(lines, ".kconfig") // laid out by another rule
				} else {
					lines = append(lines, slotText(second, ""))
				}
			}
		}
		out[fn.Name] = lines
	}
	return out
}

func coreAt(p *spec.ProgramSpec, pc isa.PC) *spec.CoreReloc {
	for i := range p.Core {
		if p.Core[i].PC == pc {
			return &p.Core[i]
		}
	}
	return nil
}

func slotText(in isa.Instruction, ref string) string {
	imm := fmt.Sprint(in.Imm)
	if ref != "" {
		imm = "-> " + ref
	}
	return fmt.Sprintf("%#02x %#02x %d %s", uint8(in.Op), in.Regs, in.Off, imm)
}

// ciliumFunctions does the same for a program that cilium/ebpf linked, after
// applying CO-RE with that library.
func ciliumFunctions(p *ebpf.ProgramSpec, local *btf.Spec, target *btf.Spec) (map[string][]string, error) {
	insns := slices.Clone(p.Instructions)
	symbols := make([]string, len(insns)) // poisoning an instruction removes its symbol
	for i := range insns {
		symbols[i] = insns[i].Symbol()
	}
	var relos []*btf.CORERelocation
	var at []int
	for i := range insns {
		if r := btf.CORERelocationMetadata(&insns[i]); r != nil {
			relos, at = append(relos, r), append(at, i)
		}
	}
	if len(relos) > 0 {
		fixups, err := btf.CORERelocate(relos, []*btf.Spec{target}, binary.LittleEndian, local.TypeID)
		if err != nil {
			return nil, err
		}
		for i := range fixups {
			if err := fixups[i].Apply(&insns[at[i]]); err != nil {
				return nil, err
			}
		}
	}
	out := make(map[string][]string)
	name := p.Name
	for i, in := range insns {
		if sym := symbols[i]; sym != "" {
			name = sym
		}
		ref := in.Reference()
		if in.OpCode.IsDWordLoad() && in.Src == asm.PseudoMapValue && ref == "" {
			ref = ".kconfig"
		}
		if in.Constant == btf.COREBadRelocationSentinel {
			out[name] = append(out[name], "poison")
			continue
		}
		kconfig := ref == ".kconfig"
		ref, _, _ = strings.Cut(ref, "___")
		var buf bytes.Buffer
		clean := in
		if _, err := clean.Marshal(&buf, binary.LittleEndian); err != nil {
			return nil, fmt.Errorf("marshal %v: %w", in, err)
		}
		for b := buf.Bytes(); len(b) > 0; b = b[8:] {
			slot := isa.Instruction{Op: isa.Opcode(b[0]), Regs: b[1],
				Off: int16(binary.LittleEndian.Uint16(b[2:])), Imm: int32(binary.LittleEndian.Uint32(b[4:]))}
			if kconfig && len(b) == 8 {
				out[name] = append(out[name], ".kconfig")
				break
			}
			out[name] = append(out[name], slotText(slot, ref))
			if ref != "" && len(b) > 8 && in.Src == asm.PseudoFunc {
				binary.LittleEndian.PutUint32(b[12:], 0)
			}
			ref = ""
		}
	}
	return out, nil
}
