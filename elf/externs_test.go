package elf

import (
	delf "debug/elf"
	"encoding/hex"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// externObject makes an object whose program loads the address of each variable
// and function declared in the two virtual sections.
func externObject(t *testing.T, kconfig, ksyms []btf.Type, weak map[string]bool) []byte {
	t.Helper()
	o := newObject()
	var code isa.Program
	var relocs []outReloc
	var sections []btf.Type
	for _, s := range []struct {
		name  string
		decls []btf.Type
	}{{".kconfig", kconfig}, {".ksyms", ksyms}} {
		ds := &btf.Datasec{Name: s.name}
		for _, d := range s.decls {
			ds.Vars = append(ds.Vars, btf.VarSecinfo{Type: d})
			sym := outSymbol{name: d.TypeName(), bind: delf.STB_GLOBAL}
			if weak[d.TypeName()] {
				sym.bind = delf.STB_WEAK
			}
			relocs = append(relocs, outReloc{uint64(len(code)) * 8, Reloc64_64, o.addSymbol(sym)})
			code = append(code, isa.Instruction{Op: isa.OpLdImm64, Regs: 1}, isa.Instruction{})
		}
		if len(ds.Vars) > 0 {
			sections = append(sections, ds)
		}
	}
	sec := o.code("xdp", append(code, exit))
	o.secs[sec].relocs = relocs
	o.fn("p", sec, 0, len(code)+1)
	o.section(".BTF", delf.SHT_PROGBITS, 0, btfSection(t, sections...))
	return o.layOut()
}

func externVar(name string, typ btf.Type) btf.Type {
	return &btf.Var{Name: name, Type: typ, Linkage: btf.ExternVar}
}

func TestKconfig(t *testing.T) {
	boolType := &btf.Int{Name: "_Bool", Size: 1, Encoding: btf.Bool}
	charType := &btf.Int{Name: "char", Size: 1, Encoding: btf.Signed}
	tristate := &btf.Enum{Name: "libbpf_tristate", Size: 4, Values: []btf.EnumValue{{Name: "TRI_NO"}, {Name: "TRI_YES", Value: 1}, {Name: "TRI_MODULE", Value: 2}}}
	text := &btf.Array{Index: u32Type, Type: charType, Nelems: 8}
	f, err := open(externObject(t, []btf.Type{
		externVar("CONFIG_BPF_SYSCALL", boolType),
		externVar("CONFIG_HZ", u64Type),
		externVar("LINUX_KERNEL_VERSION", u32Type),
		externVar("CONFIG_NETKIT", tristate),
		externVar("CONFIG_NAME", text),
		externVar("CONFIG_UNKNOWN", u32Type),
		externVar("CONFIG_LETTER", charType),
	}, nil, map[string]bool{"CONFIG_UNKNOWN": true}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Collection(Options{Kconfig: map[string]string{"CONFIG_NETKIT": "m", "CONFIG_NAME": `"longer than 8"`, "CONFIG_LETTER": "y"}})
	if err != nil {
		t.Fatal(err)
	}
	// By alignment downwards, then by size, then by name.
	want := "fa00000000000000" + // CONFIG_HZ
		"02000000" + "00000000" + "00120600" + // CONFIG_NETKIT, CONFIG_UNKNOWN, LINUX_KERNEL_VERSION
		"01" + "79" + "6c6f6e6765722000" // CONFIG_BPF_SYSCALL, CONFIG_LETTER, CONFIG_NAME
	m := c.Map(".kconfig")
	if got := hex.EncodeToString(m.Contents[0].Value); got != want {
		t.Errorf("values\n%s, want\n%s", got, want)
	}
	if !m.Frozen || m.Flags != spec.MapRdOnlyProg {
		t.Errorf("map %+v", m)
	}
	var offs []uint32
	p := c.Program("p")
	for _, r := range p.Refs {
		offs = append(offs, r.Off)
		if imm, _ := p.Insns.Imm64(r.PC); r.Kind != spec.RefMapValue || r.Name != ".kconfig" || uint32(imm>>32) != r.Off {
			t.Errorf("reference %+v, immediate %#x", r, imm)
		}
	}
	if diff := cmp.Diff([]uint32{20, 0, 16, 8, 22, 12, 21}, offs); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
}

func TestKconfigRefused(t *testing.T) {
	boolType := &btf.Int{Name: "_Bool", Size: 1, Encoding: btf.Bool}
	for _, tt := range []struct {
		name, value string
		typ         btf.Type
		want        string
	}{
		{"CONFIG_UNKNOWN", "", u32Type, "no value for configuration variable CONFIG_UNKNOWN: unsupported"},
		{"CONFIG_A", "m", boolType, "a module (m) does not fit in a bool"},
		{"CONFIG_A", "300", &btf.Int{Name: "u8", Size: 1}, "300 does not fit in 1 bytes"},
		{"CONFIG_A", `"x"`, u32Type, "CONFIG_A is a string, its variable is u32"},
		{"CONFIG_A", "zz", u32Type, "value zz of CONFIG_A is no number"},
		{"CONFIG_A", "1", &btf.Struct{Name: "s", Size: 4}, "configuration variable of type struct s: unsupported"},
		{"LINUX_SOMETHING", "", u32Type, "no value for configuration variable LINUX_SOMETHING"},
	} {
		f, err := open(externObject(t, []btf.Type{externVar(tt.name, tt.typ)}, nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{}
		if tt.value != "" {
			opts.Kconfig = map[string]string{tt.name: tt.value}
		}
		c, err := f.Collection(opts)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(c.Programs) != 0 {
			t.Errorf("%s=%s: error %v\nwant %s", tt.name, tt.value, err, tt.want)
		}
	}
}

// TestKsyms: kernel functions and variables become references by name.
func TestKsyms(t *testing.T) {
	proto := &btf.FuncProto{Return: &btf.Void{}}
	f, err := open(externObject(t, nil, []btf.Type{
		&btf.Func{Name: "bpf_some_kfunc", Type: proto, Linkage: btf.ExternFunc},
		externVar("runqueues", &btf.Struct{Name: "rq", Size: 8}),
		externVar("bpf_prog_active", &btf.Void{}),
	}, map[string]bool{"runqueues": true}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Collection(Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Program("p")
	want := []spec.Ref{
		{PC: 0, Kind: spec.RefKfunc, Name: "bpf_some_kfunc"},
		{PC: 2, Kind: spec.RefKsym, Name: "runqueues", Weak: true},
		{PC: 4, Kind: spec.RefKsym, Name: "bpf_prog_active"},
	}
	if diff := cmp.Diff(want, p.Refs); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	for pc, src := range map[isa.PC]isa.Pseudo{0: isa.PseudoBTFID, 2: isa.PseudoBTFID, 4: isa.PseudoImm64} {
		if got := isa.Pseudo(p.Insns[pc].Src()); got != src {
			t.Errorf("slot %d: source %d, want %d", pc, got, src)
		}
	}
}
