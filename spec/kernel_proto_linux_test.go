package spec_test

import (
	"bufio"
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfvm/spec"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// The kernel's helper prototypes are constants without a name. They are found in
// its read-only data by what they hold: the address of a function that has a name,
// then flags and kinds (include/linux/bpf.h, struct bpf_func_proto):
//
//	 0 func u64   8 gpl_only  9 pkt_access  10 might_sleep  11 allow_fastcall
//	12 ret_type u32   16 arg_type [5]u32   40 arg_btf_id or arg_size [5]u64
//	80 ret_btf_id u64   88 allowed u64
const protoSize = 96

// Bits that bpf_type_flag adds to a kind.
const (
	flagNull    = 1 << 8
	flagRingbuf = 1 << 10
	flagRelease = 1 << 13
	flagUninit  = 1 << 15
	flagLocal   = 1 << 16
	flagDynRing = 1 << 17
	flagFixed   = 1 << 18
	flagTrusted = 1 << 20
	flagWrite   = 1 << 26
)

// proto is what the tables and the kernel are compared by.
type proto struct {
	Args                      [5]spec.ArgKind
	ArgSizes                  [5]uint32
	ArgOf                     [5]string
	ArgWrites                 [5]bool
	Ret                       spec.RetKind
	RetOf                     string
	GPL, Packet, Sleep, Fast  bool
	Trusted, Release, Ringbuf bool
	AllowedBy                 string
}

// kernelArg turns one of the kernel's argument types into ours; of reads a BTF id.
func kernelArg(p *proto, i int, typ uint32, more uint64, of func(uint64) string) bool {
	null, uninit := typ&flagNull != 0, typ&flagUninit != 0
	p.ArgWrites[i] = typ&flagWrite != 0
	p.Release = p.Release || i == 0 && typ&flagRelease != 0
	orNull := func(k, n spec.ArgKind) spec.ArgKind {
		if null {
			return n
		}
		return k
	}
	var k spec.ArgKind
	switch typ & 0xff {
	case 0:
		return typ == 0
	case 1:
		k = spec.ArgConstMapPtr
	case 2:
		k = spec.ArgMapKey
	case 3:
		k = orNull(spec.ArgMapValue, spec.ArgMapValueOrNull)
		if uninit {
			k = spec.ArgUninitMapValue
		}
	case 4:
		k = orNull(spec.ArgMem, spec.ArgMemOrNull)
		switch {
		case typ&flagFixed != 0 && typ&flagWrite == 0:
			k, p.ArgSizes[i] = spec.ArgFixedMem, uint32(more)
		case typ&flagFixed != 0 && more == 8:
			k = spec.ArgLong
		case typ&flagFixed != 0:
			k = spec.ArgInt
		case uninit:
			k = spec.ArgUninitMem
		}
	case 6:
		k = spec.ArgSize
	case 7:
		k = spec.ArgSizeOrZero
	case 8:
		k = orNull(spec.ArgCtx, spec.ArgCtxOrNull)
	case 9:
		k = spec.ArgAnything
	case 10:
		k = spec.ArgSpinLock
	case 11:
		k = spec.ArgSockCommon
	case 12:
		k = orNull(spec.ArgSocket, spec.ArgFullSockOrNull)
	case 13:
		k, p.ArgOf[i] = orNull(spec.ArgBTFID, spec.ArgBTFIDOrNull), of(more)
	case 14:
		k = spec.ArgRingBufMem
	case 15:
		k = spec.ArgAllocSize
	case 16:
		k = orNull(spec.ArgSocket, spec.ArgSockOrNull)
	case 17:
		k = spec.ArgPerCPUBTFID
	case 18:
		k = spec.ArgFunc
	case 19:
		k = spec.ArgStackOrNull
	case 20:
		k = spec.ArgConstStr
	case 21:
		k = spec.ArgTimer
	case 22:
		k = spec.ArgKptr
	case 23:
		k = spec.ArgDynptr
		if uninit {
			k = spec.ArgUninitDynptr
		}
		switch {
		case typ&flagLocal != 0:
			p.ArgOf[i] = "local"
		case typ&flagDynRing != 0:
			p.ArgOf[i] = "ringbuf"
		}
	default:
		return false
	}
	p.Args[i] = k
	return true
}

func kernelRet(p *proto, typ uint32, id uint64, of func(uint64) string) bool {
	null := typ&flagNull != 0
	p.Trusted, p.Ringbuf = typ&flagTrusted != 0, typ&flagRingbuf != 0
	orNull := func(k, n spec.RetKind) spec.RetKind {
		if null {
			return n
		}
		return k
	}
	switch typ & 0xff {
	case 0:
		p.Ret = spec.RetInteger
		return typ == 0
	case 1:
		p.Ret = spec.RetVoid
	case 2:
		p.Ret = orNull(spec.RetMapValue, spec.RetMapValueOrNull)
	case 3:
		p.Ret = spec.RetSocketOrNull
	case 4:
		p.Ret = spec.RetTCPSockOrNull
	case 5:
		p.Ret = spec.RetSockCommonOrNull
	case 6:
		p.Ret = spec.RetDynptrMemOrNull
		if p.Ringbuf {
			p.Ret = spec.RetMemOrNull
		}
	case 7:
		p.Ret = orNull(spec.RetMemOrBTFID, spec.RetMemOrBTFIDOrNull)
	case 8:
		p.Ret, p.RetOf = orNull(spec.RetBTFID, spec.RetBTFIDOrNull), of(id)
	default:
		return false
	}
	return true
}

// kernelProtos returns the prototypes by the name of the function behind them.
func kernelProtos(t *testing.T, k *kernelMemory) map[string][]proto {
	names, start := symbols(t)
	of := func(addr uint64) string {
		if addr>>32 != 0xffffffff {
			return "" // BPF_PTR_POISON: the verifier knows
		}
		return k.typeName(k.u32(addr))
	}
	protos := map[string][]proto{}
	data := k.readAll(start, 32<<20)
	for off := 0; off+protoSize <= len(data); off += 8 {
		d := data[off : off+protoSize]
		le := binary.LittleEndian
		fn, allowed := names[le.Uint64(d)], le.Uint64(d[88:])
		if fn == "" || d[8]|d[9]|d[10]|d[11] > 1 || le.Uint32(d[36:]) != 0 || allowed != 0 && names[allowed] == "" {
			continue
		}
		p := proto{GPL: d[8] == 1, Packet: d[9] == 1, Sleep: d[10] == 1, Fast: d[11] == 1, AllowedBy: names[allowed]}
		ok := kernelRet(&p, le.Uint32(d[12:]), le.Uint64(d[80:]), of)
		for i := 0; i < 5 && ok; i++ {
			ok = kernelArg(&p, i, le.Uint32(d[16+4*i:]), le.Uint64(d[40+8*i:]), of)
		}
		if ok && !slices.Contains(protos[fn], p) {
			protos[fn] = append(protos[fn], p)
		}
	}
	return protos
}

// symbols returns the names of the kernel's functions that look like those behind
// helpers, by address, and where its read-only data begins.
func symbols(t *testing.T) (names map[uint64]string, rodata uint64) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	names = map[uint64]string{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text())
		addr, err := strconv.ParseUint(w[0], 16, 64)
		switch name := w[2]; {
		case err != nil || addr == 0:
		case name == "__start_rodata":
			rodata = addr
		case strings.HasPrefix(name, "bpf_"), strings.HasPrefix(name, "sk_"), strings.HasPrefix(name, "get_func_"):
			names[addr] = name
		}
	}
	if rodata == 0 {
		t.Skip("/proc/kallsyms does not show addresses")
	}
	return names, rodata
}

// readAll reads up to n bytes, as many as there are.
func (k *kernelMemory) readAll(addr uint64, n int) []byte {
	var out []byte
	for len(out) < n {
		ret, err := k.prog.Run(&ebpf.RunOptions{Context: binary.LittleEndian.AppendUint64(nil, addr+uint64(len(out)))})
		if err != nil || ret != 0 {
			break
		}
		chunk := make([]byte, memoryChunk)
		if err := k.value.Lookup(uint32(0), &chunk); err != nil {
			k.t.Fatal(err)
		}
		out = append(out, chunk...)
	}
	return out
}

// behind are the functions of helpers that are not called like their helper, and
// those of their other forms.
var behind = map[string][]string{
	"bpf_probe_read": {"bpf_probe_read_compat"}, "bpf_probe_read_str": {"bpf_probe_read_compat_str"},
	"bpf_get_prandom_u32": {"bpf_user_rnd_u32"}, "bpf_redirect_map": {"bpf_xdp_redirect_map"},
	"bpf_setsockopt":          {"bpf_sk_setsockopt", "bpf_sock_addr_setsockopt", "bpf_sock_ops_setsockopt", "bpf_unlocked_sk_setsockopt"},
	"bpf_getsockopt":          {"bpf_sk_getsockopt", "bpf_sock_addr_getsockopt", "bpf_sock_ops_getsockopt", "bpf_unlocked_sk_getsockopt"},
	"bpf_fib_lookup":          {"bpf_skb_fib_lookup", "bpf_xdp_fib_lookup"},
	"bpf_lwt_push_encap":      {"bpf_lwt_in_push_encap", "bpf_lwt_xmit_push_encap"},
	"bpf_skb_output":          {"bpf_skb_event_output"},
	"bpf_xdp_output":          {"bpf_xdp_event_output"},
	"bpf_load_hdr_opt":        {"bpf_sock_ops_load_hdr_opt"},
	"bpf_store_hdr_opt":       {"bpf_sock_ops_store_hdr_opt"},
	"bpf_reserve_hdr_opt":     {"bpf_sock_ops_reserve_hdr_opt"},
	"bpf_check_mtu":           {"bpf_skb_check_mtu", "bpf_xdp_check_mtu"},
	"bpf_get_func_ip":         {"bpf_get_func_ip_kprobe", "bpf_get_func_ip_tracing"},
	"bpf_get_func_arg":        {"get_func_arg"},
	"bpf_get_func_ret":        {"get_func_ret"},
	"bpf_get_func_arg_cnt":    {"get_func_arg_cnt"},
	"bpf_sk_select_reuseport": {"sk_select_reuseport"},
	"bpf_get_socket_cookie":   {"bpf_get_socket_cookie", "bpf_get_socket_cookie_sock", "bpf_get_socket_ptr_cookie"},
	"bpf_sk_storage_get":      {"bpf_sk_storage_get", "bpf_sk_storage_get_tracing"},
	"bpf_sk_storage_delete":   {"bpf_sk_storage_delete", "bpf_sk_storage_delete_tracing"},
	"bpf_sk_assign":           {"bpf_sk_assign", "bpf_sk_lookup_assign"},
	"bpf_get_cgroup_classid":  {"bpf_get_cgroup_classid", "bpf_get_cgroup_classid_curr"},
}

// elsewhere are helpers without a function of their own (the verifier replaces the
// call) and those that the 6.18 configuration of the tables does not have.
var elsewhere = []string{
	"bpf_tail_call", "bpf_probe_write_user", "bpf_override_return",
	"bpf_rc_repeat", "bpf_rc_keydown", "bpf_rc_pointer_rel",
}

func TestKernelPrototypes(t *testing.T) {
	needKernel(t)
	k := newKernelMemory(t)
	protos := kernelProtos(t, k)
	if len(protos) < 200 {
		t.Skipf("found prototypes of %d functions only", len(protos))
	}
	for _, h := range spec.Helpers() {
		if slices.Contains(elsewhere, h.Name) {
			continue
		}
		table := []proto{{
			Args: h.Args, ArgSizes: h.ArgSizes, ArgOf: h.ArgOf, ArgWrites: h.ArgWrites, Ret: h.Ret, RetOf: h.RetOf,
			GPL: h.GPLOnly, Packet: h.PacketAccess, Sleep: h.MightSleep, Fast: h.Fastcall,
			Trusted: h.RetTrusted, Ringbuf: h.Ret == spec.RetMemOrNull, Release: h.Releases,
		}}
		for _, f := range h.Forms {
			p := table[0]
			p.Args, p.ArgOf = f.Args, f.ArgOf
			table = append(table, p)
		}
		// Which forms a function refuses, and in which types the context is not the
		// packet, says the table elsewhere.
		same := func(a, b proto) bool {
			a.AllowedBy, b.AllowedBy = "", ""
			a.Packet, b.Packet = a.Packet || b.Packet, a.Packet || b.Packet
			return a == b
		}
		functions := behind[h.Name]
		if functions == nil {
			functions = []string{h.Name}
		}
		if h.Name == "bpf_kptr_xchg" {
			table[0].Release, table[0].Ringbuf = false, false // its second argument
		}
		var kernel []proto
		for _, fn := range functions {
			if len(protos[fn]) == 0 {
				t.Errorf("%s: no prototype of %s", h.Name, fn)
			}
			kernel = append(kernel, protos[fn]...)
		}
		for _, want := range table {
			if !slices.ContainsFunc(kernel, func(p proto) bool { return same(p, want) }) {
				t.Errorf("%s: the kernel has none like the table's (-table +kernel):\n%s", h.Name, cmp.Diff([]proto{want}, kernel))
			}
		}
		if len(functions) == 1 && (h.AllowedBy != "" || kernel[0].AllowedBy != "") && h.AllowedBy != kernel[0].AllowedBy {
			t.Errorf("%s is refused by %q, the table says %q", h.Name, kernel[0].AllowedBy, h.AllowedBy)
		}
	}
}

// The numbers of the tables are those of the kernel's enums.
func TestKernelEnums(t *testing.T) {
	needKernel(t)
	bs, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("cannot read the kernel's BTF: %v", err)
	}
	tables := []struct {
		enum, end string
		names     map[string]int
	}{
		{"bpf_prog_type", "__MAX_BPF_PROG_TYPE", map[string]int{}},
		{"bpf_map_type", "__MAX_BPF_MAP_TYPE", map[string]int{
			"BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED":        int(spec.MapCgroupStorage),
			"BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED": int(spec.MapPerCPUCgroupStorage),
		}},
		{"bpf_attach_type", "__MAX_BPF_ATTACH_TYPE", map[string]int{}},
		{"bpf_func_id", "__BPF_FUNC_MAX_ID", map[string]int{"BPF_FUNC_unspec": 0}},
	}
	for _, p := range spec.ProgTypes() {
		tables[0].names[p.Kernel] = int(p.Type)
	}
	for _, m := range spec.MapTypes() {
		tables[1].names[m.Kernel] = int(m.Type)
	}
	for _, a := range spec.AttachTypes() {
		tables[2].names[a.Kernel] = int(a.Type)
	}
	for _, h := range spec.Helpers() {
		tables[3].names["BPF_FUNC_"+strings.TrimPrefix(h.Name, "bpf_")] = int(h.ID)
	}
	for _, tt := range tables {
		var e *btf.Enum
		if err := bs.TypeByName(tt.enum, &e); err != nil {
			t.Error(err)
			continue
		}
		kernel := map[string]int{}
		for _, v := range e.Values {
			if v.Name != tt.end {
				kernel[v.Name] = int(v.Value)
			}
		}
		if diff := cmp.Diff(kernel, tt.names); diff != "" {
			t.Errorf("enum %s (-kernel +table):\n%s", tt.enum, diff)
		}
	}
}
