package types

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// blob builds raw BTF from type records and strings.
func blob(types []uint32, strs string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, 0xeb9f)
	b = append(b, 1, 0)
	for _, v := range []uint32{24, 0, uint32(4 * len(types)), uint32(4 * len(types)), uint32(len(strs))} {
		b = le.AppendUint32(b, v)
	}
	for _, v := range types {
		b = le.AppendUint32(b, v)
	}
	return append(b, strs...)
}

func TestLoad(t *testing.T) {
	spec, err := Load(blob([]uint32{1, 1 << 24, 4, 32 | 1<<24, 0, 2 << 24, 1}, "\x00int\x00"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := spec.TypeByID(2)
	if err != nil || Declare(p, "x") != "int *x" {
		t.Errorf("type 2 is %v, %v", p, err)
	}
}

func TestLoadErrors(t *testing.T) {
	chain := make([]uint32, 0, 3*(maxChain+2))
	for i := range maxChain + 1 {
		chain = append(chain, 0, 10<<24, uint32(i+2)) // const -> const -> ...
	}
	chain = append(chain, 0, 2<<24, 0)
	big := blob(nil, "\x00")
	big[0], big[1] = 0xeb, 0x9f
	for _, tt := range []struct {
		name string
		raw  []byte
		is   error
		want string
	}{
		{"empty", nil, ErrFormat, "too few"},
		{"huge", make([]byte, maxBTF+1), ErrFormat, "more than the 16777216"},
		{"magic", make([]byte, 24), ErrFormat, "magic is 0x0000"},
		{"big-endian", big, errors.ErrUnsupported, "big-endian"},
		{"cut off", blob([]uint32{1, 1 << 24}, "\x00int\x00"), ErrFormat, "type 1: record is cut off"},
		{"members missing", blob([]uint32{0, 4<<24 | 2, 8, 0, 0}, "\x00"), ErrFormat, "type 1: 16 bytes are missing"},
		{"kind", blob([]uint32{0, 20 << 24, 0}, "\x00"), ErrFormat, "kind 20 is unknown"},
		{"reference", blob([]uint32{0, 2 << 24, 9}, "\x00"), ErrFormat, "type 1 refers to type 9 of 1"},
		{"chain", blob(chain, "\x00"), ErrFormat, "more than 32768 deep"},
		{"name", blob([]uint32{99, 1 << 24, 4, 32}, "\x00int\x00"), ErrFormat, "name"},
		{"header", append(blob(nil, "\x00")[:4], bytes.Repeat([]byte{0xff}, 20)...), ErrFormat, "does not fit"},
	} {
		spec, err := Load(tt.raw)
		if spec != nil || err == nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v, want %q", tt.name, spec, err, tt.want)
		}
	}
}

func TestTarget(t *testing.T) {
	spec, err := Target()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(targetPacked); n > 3<<19 {
		t.Errorf("the target takes %d bytes, more than 1.5 MiB", n)
	}
	for _, name := range []string{
		"struct task_struct", "struct mm_struct", "struct files_struct", "struct file", "struct inode", "struct dentry",
		"struct sk_buff", "struct sock", "struct tcp_sock", "struct net_device", "struct bpf_map", "struct bpf_prog",
		"struct trace_event_raw_sys_enter", "struct trace_event_raw_sched_switch", "struct pt_regs", "struct cred",
		"struct nsproxy", "struct cgroup", "struct request", "struct bio", "struct linux_binprm", "struct kmem_cache",
		"struct bpf_perf_event_data_kern", "struct __sk_buff", "struct xdp_md", "enum bpf_map_type", "u64", "pid_t", "int",
		"btf_trace_sched_switch", "btf_trace_sys_enter", "bpf_iter_num_new", "bpf_lsm_file_open", "bpf_iter_task", "do_unlinkat",
		"tcp_connect", "mutex_lock", "bpf_lsm_bprm_check_security", "update_socket_protocol", "runqueues", "bpf_prog_active",
	} {
		if _, err := TypeByName(spec, name); err != nil {
			t.Error(err)
		}
	}
	// Everything in it is well formed, and prints.
	raw, err := TargetRaw()
	if err != nil {
		t.Fatal(err)
	}
	if err := check(raw); err != nil {
		t.Error(err)
	}
	for typ, err := range spec.All() {
		if err != nil {
			t.Fatal(err)
		}
		if s := Define(typ, true); strings.Contains(s, "too deep") {
			t.Errorf("%s: %.200s", typ.TypeName(), s)
		}
	}
}

func TestFieldOffset(t *testing.T) {
	ch := &btf.Int{Name: "char", Size: 1, Encoding: btf.Signed}
	u32 := &btf.Int{Name: "u32", Size: 4}
	in := &btf.Struct{Name: "in", Size: 8, Members: []btf.Member{{Name: "a", Type: u32}, {Name: "b", Type: u32, Offset: 32}}}
	s := &btf.Struct{Name: "s", Size: 64, Members: []btf.Member{
		{Name: "comm", Type: &btf.Array{Index: u32, Type: ch, Nelems: 16}},
		{Type: &btf.Union{Size: 8, Members: []btf.Member{{Name: "x", Type: u32}, {Type: in}}}, Offset: 128},
		{Name: "list", Type: &btf.Array{Index: u32, Type: in, Nelems: 3}, Offset: 192},
		{Name: "flag", Type: u32, Offset: 384 + 5, BitfieldSize: 3},
		{Name: "p", Type: &btf.Pointer{Target: in}, Offset: 416},
	}}
	b, err := btf.NewBuilder([]btf.Type{s}, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := b.Spec()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path      string
		off, size uint32
	}{
		{"comm", 0, 16}, {"comm[3]", 3, 1}, {"x", 16, 4}, {"b", 20, 4}, {"list", 24, 24}, {"list[2]", 40, 8}, {"list[2].b", 44, 4}, {"p", 52, 8},
	} {
		off, size, err := FieldOffset(spec, "struct s", tt.path)
		if err != nil || off != tt.off || size != tt.size {
			t.Errorf("%s: %d, %d, %v, want %d, %d", tt.path, off, size, err, tt.off, tt.size)
		}
	}
	for path, is := range map[string]error{
		"none": ErrNoField, "list[3]": ErrNoField, "list.b": nil, "p.a": nil, "list[": nil, "list[0]x": nil, "list[0": nil, "list[x]": nil, "": ErrNoField,
		"flag": errors.ErrUnsupported, "comm[0][0]": ErrNoField,
	} {
		if _, _, err := FieldOffset(spec, "s", path); err == nil || is != nil && !errors.Is(err, is) {
			t.Errorf("%q: %v, want %v", path, err, is)
		}
	}
	if f, err := FindField(spec, "s", "flag"); err != nil || f.Off != 48 || f.BitOff != 5 || f.Bits != 3 || f.Size != 4 {
		t.Errorf("flag: %+v, %v", f, err)
	}
	if _, _, err := FieldOffset(spec, "union s", "x"); !errors.Is(err, ErrNoType) {
		t.Errorf("union s: %v", err)
	}
}

// The running kernel's BTF loads, whatever its version, and a 6.18 kernel lays
// task_struct's small fields out in the target's order.
func TestHostBTF(t *testing.T) {
	raw, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if err != nil {
		t.Skipf("the running kernel has no readable BTF: %v", err)
	}
	spec, err := Load(raw)
	if err != nil {
		t.Fatal(err)
	}
	f, err := FindField(spec, "task_struct", "comm")
	if err != nil || f.Size != 16 {
		t.Errorf("task_struct.comm: %+v, %v", f, err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(blob([]uint32{1, 1 << 24, 4, 32 | 1<<24, 0, 2 << 24, 1}, "\x00int\x00"), []byte{1, 2, 3, 4})
	f.Add(blob([]uint32{1, 4<<24 | 2, 8, 5, 2, 0, 7, 3, 32, 9, 1 << 24, 4, 32, 0, 3 << 24, 0, 2, 2, 1}, "\x00abc\x00d\x00e\x00int\x00"), make([]byte, 8))
	f.Fuzz(func(t *testing.T, raw, value []byte) {
		spec, err := Load(raw)
		if err != nil {
			if spec != nil {
				t.Error("a spec and an error")
			}
			return
		}
		if err := DumpSpec(io.Discard, spec); err != nil && !errors.Is(err, ErrTooLarge) {
			t.Errorf("dump: %v", err)
		}
		for typ, err := range spec.All() {
			if err != nil {
				t.Fatalf("Load missed %v", err)
			}
			Declare(typ, "x")
			Define(typ, true)
			if _, err := Fields(typ); err != nil {
				continue
			}
			size, err := sizeOf(typ)
			if err != nil || uint64(size) > uint64(len(value)) {
				continue
			}
			js, err := Format(typ, value[:size])
			if err != nil {
				continue
			}
			back, err := Parse(typ, js)
			if err != nil {
				// Names that occur twice, and overlapping bools and enums, do not come back.
				continue
			}
			if _, err := Format(typ, back); err != nil {
				t.Errorf("%s: %s parses to %x, which does not format: %v", Declare(typ, ""), js, back, err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`{"kind":1,"v4":2,"lo":2,"hi":3,"ok":true}`)
	f.Add(`[1,"0x2",'a']`)
	f.Add(`"abc"`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, typ := range []btf.Type{tAnon, tBits, tComm, tState, tU64, tI128, tVoidP} {
			data, err := Parse(typ, []byte(text))
			if err != nil {
				continue
			}
			js, err := Format(typ, data)
			if err != nil {
				t.Fatalf("%s parses as %s and does not format: %v", text, Declare(typ, ""), err)
			}
			again, err := Parse(typ, js)
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("%s: %x formats as %s, which is %x, %v", text, data, js, again, err)
			}
		}
	})
}
