package isa

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// testHelpers are the few helpers that these tests call by name.
var testHelpers = map[string]int32{"bpf_map_lookup_elem": 1, "bpf_ktime_get_ns": 5, "bpf_trace_printk": 6}

var testOptions = Options{
	HelperID:    func(name string) (int32, bool) { id, ok := testHelpers[name]; return id, ok },
	HelperNames: maps.Keys(testHelpers),
}

const unitSource = `
# counts packets by protocol
.license "GPL"
.version 0x60c00
.map counts type=hash key=4 value=8 max_entries=16 flags=1
.map outer type=hash_of_maps key=4 value=4 max_entries=2 inner=counts
.rodata fmt "n=%d\n"
.rodata tab = 1, 0xff -1
	.half 0x1234
	.align 8
	.quad 0x1122334455667788
.bss total
	.zero 8

.section "xdp"
.func count
	r6 = r1                      ; context
	*(u32 *)(r10 -4) = 7
	r2 = r10; r2 += -4 is not a second instruction but a comment
	r2 += -4
	r1 = map[counts]
	call bpf_map_lookup_elem
	if r0 == 0 goto out          // no entry
	r1 = data[tab]+2
	r2 = map[.bss][0]
	r1 = *(u8 *)(r1 +0)
	call add
	r3 = func[cb]
	call kfunc bpf_rcu_read_lock off=1
	call helper#5
out:	r0 = 2 /* XDP_PASS
 	*/
	exit
.func add static
	lock *(u64 *)(r0 +0) += r1
	goto out
out:
	exit
.program probe kprobe/do_unlinkat
	r0 = 0 exit_is_elsewhere:
`

func TestUnit(t *testing.T) {
	src := strings.Replace(unitSource, "r0 = 0 exit_is_elsewhere:", "call cb\n	exit\n.section .text\n.func cb\n	r0 = 0\n	exit", 1)
	got, err := Assemble("t.s", []byte(src), testOptions)
	if err != nil {
		t.Fatal(err)
	}
	want := &Unit{
		License: "GPL",
		Version: 0x60c00,
		Maps: []AsmMap{
			{Name: "counts", Type: "hash", KeySize: 4, ValueSize: 8, MaxEntries: 16, Flags: 1, Line: 5},
			{Name: "outer", Type: "hash_of_maps", KeySize: 4, ValueSize: 4, MaxEntries: 2, Inner: "counts", Line: 6},
		},
		Data: []AsmData{
			{
				Name:  ".rodata",
				Bytes: []byte("n=%d\n\x00\x01\xff\xff\x34\x12\x00\x00\x00\x00\x00\x88\x77\x66\x55\x44\x33\x22\x11"),
				Symbols: []AsmSymbol{
					{Name: "fmt", Size: 6, Line: 7},
					{Name: "tab", Offset: 6, Size: 18, Line: 8},
				},
			},
			{Name: ".bss", Bytes: make([]byte, 8), Symbols: []AsmSymbol{{Name: "total", Size: 8, Line: 12}}},
		},
		Sections: []AsmSection{
			{
				Name:  "xdp",
				Funcs: []AsmFunc{{Name: "count", Line: 16}, {Name: "add", PC: 20, Static: true, Line: 34}},
				Insns: mustAssemble(t, `
					r6 = r1
					*(u32 *)(r10 -4) = 7
					r2 = r10
					r2 += -4
					r1 = map[fd:0]
					call helper#1
					if r0 == 0 goto pc+10
					r1 = map[fd:0][0]+8
					r2 = map[fd:0][0]+0
					r1 = *(u8 *)(r1 +0)
					call pc+6
					r3 = subprog[+0]
					call kfunc#0 off=1
					call helper#5
					r0 = 2
					exit
					lock *(u64 *)(r0 +0) += r1
					goto pc+0
					exit`),
				Refs: []Ref{
					{PC: 4, Kind: RefMap, Symbol: "counts"},
					{PC: 8, Kind: RefMapValue, Symbol: ".rodata", Addend: 8},
					{PC: 10, Kind: RefMapValue, Symbol: ".bss"},
					{PC: 13, Kind: RefCall, Symbol: "add", Local: true},
					{PC: 14, Kind: RefFunc, Symbol: "cb"},
					{PC: 16, Kind: RefKfunc, Symbol: "bpf_rcu_read_lock"},
				},
				Lines: []int{17, 18, 19, 20, 21, 21, 22, 23, 24, 24, 25, 25, 26, 27, 28, 28, 29, 30, 31, 33, 35, 36, 38},
			},
			{
				Name:  "kprobe/do_unlinkat",
				Funcs: []AsmFunc{{Name: "probe", Line: 39}},
				Insns: mustAssemble(t, "call pc+0\nexit"),
				Refs:  []Ref{{Kind: RefCall, Symbol: "cb"}},
				Lines: []int{40, 41},
			},
			{
				Name:  ".text",
				Funcs: []AsmFunc{{Name: "cb", Line: 43}},
				Insns: mustAssemble(t, "r0 = 0\nexit"),
				Lines: []int{44, 45},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unit (-want +got):\n%s", diff)
	}
	formatted := formatUnit(t, got)
	golden(t, "unit.golden", formatted)
	again, err := Assemble("t.s", []byte(formatted), testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, again, ignoreLines); diff != "" {
		t.Errorf("assembled from its own text (-want +got):\n%s", diff)
	}
}

// ignoreLines leaves source lines out of a comparison.
var ignoreLines = cmp.Options{
	cmpopts.IgnoreFields(AsmSection{}, "Lines"), cmpopts.IgnoreFields(AsmFunc{}, "Line"),
	cmpopts.IgnoreFields(AsmMap{}, "Line"), cmpopts.IgnoreFields(AsmSymbol{}, "Line"),
	cmpopts.EquateEmpty(),
}

func formatUnit(t testing.TB, u *Unit) string {
	t.Helper()
	var b strings.Builder
	if err := Format(&b, u, Printer{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAccepted has spellings that differ from what the printer writes.
func TestAccepted(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"r1=r2", "r1 = r2"},
		{"r1=-1", "r1 = -1"},
		{"r1 = -r1", "r1 = -r1"},
		{"r1 = +0x10", "r1 = 16"},
		{"r1 = 0b101", "r1 = 5"},
		{"r1 = 010", "r1 = 10"},
		{"r1 = 0xffffffffffffffff", "r1 = -1"},
		{"w1 = 0xffffffff", "w1 = -1"},
		{"w1 = 4294967295", "w1 = -1"},
		{"r1 = -1 ll", "r1 = 0xffffffffffffffff ll"},
		{"(18) r1 = 5", "r1 = 0x5 ll"},
		{"r1 = fp", "r1 = r10"},
		{"*(u64*)(fp-8)=r1", "*(u64 *)(r10 -8) = r1"},
		{"r1 = *(u32 *)(r2)", "r1 = *(u32 *)(r2 +0)"},
		{"w1 = *(u16 *)(r2 + 0x10)", "r1 = *(u16 *)(r2 +16)"},
		{"*(u8 *)(r1 +0) = w2", "*(u8 *)(r1 +0) = r2"},
		{"*(u32 *)(r1 +0) = 0xffffffff", "*(u32 *)(r1 +0) = -1"},
		{"r0 = *(u8 *)skb[r1]", "r0 = *(u8 *)skb[r1 + 0]"},
		{"r0 = *(u8 *)skb[r1 - 5]", "r0 = *(u8 *)skb[r1 + -5]"},
		{"if r1 == 0xffffffff goto +1", "if r1 == 0xffffffff goto pc+1"},
		{"if w1 == 4294967295 goto +1", "if w1 == 0xffffffff goto pc+1"},
		{"if r1 s>= -1 goto -1", "if r1 s>= 0xffffffff goto pc-1"},
		{"a: b: goto a", "goto pc-1"},
		{".L1:\n goto .L1", "goto pc-1"},
		{"gotol x\nx: exit", "gotol pc+0\nexit"},
		{"may_goto x\nx: exit", "may_goto pc+0\nexit"},
		{"call 7", "call helper#7"},
		{"call #7", "call helper#7"},
		{"call anything#7", "call helper#7"},
		{"call pc-1#bpf_prog_5f2a_main", "call pc-1"},
		{"x: call x", "call pc-1"},
		{"r1 = map[id:3]", "r1 = map[fd:3]"},
		{"r1 = map[idx:3]+4", "r1 = map[idx:3][0]+4"},
		{"r1 = btf[id:3]", "r1 = btf[id:3 fd:0]"},
		{"r1 = func[+3]", "r1 = subprog[+3]"},
		{"r2 = atomic_fetch_add((u64 *)(r1 +0), r2)", "r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)"},
		{"exit\r\nexit", "exit\nexit"},
		{"/* a */ exit /* b\n c */ exit", "exit\nexit"},
		{"exit # not at the start, so no comment", ""},
	} {
		p, err := AssembleProgram(tt.src)
		if err != nil {
			if tt.want != "" {
				t.Errorf("%q: %v", tt.src, err)
			}
			continue
		}
		if got := strings.TrimSuffix(text(t, p), "\n"); got != tt.want {
			t.Errorf("%q assembles to %q, want %q", tt.src, got, tt.want)
		}
	}
}

// TestAsmErrors assembles the sources under testdata/errors and compares what
// the assembler says with the golden file beside each.
func TestAsmErrors(t *testing.T) {
	paths, err := filepath.Glob("testdata/errors/*.s")
	if err != nil || len(paths) == 0 {
		t.Fatal("no sources:", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".s")
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			u, err := Assemble(filepath.Base(path), src, testOptions)
			if err == nil || u != nil {
				t.Fatalf("assembled to %v, error %v", u, err)
			}
			if _, ok := errors.AsType[AsmErrorList](err); !ok {
				t.Errorf("error is %T", err)
			}
			golden(t, "errors/"+name+".golden", err.Error()+"\n")
		})
	}
}

func TestAllowUndefined(t *testing.T) {
	src := "r1 = map[m]\nr2 = map[v][0]+4\nr3 = func[f]\ncall g\nexit"
	if _, err := Assemble("", []byte(src), testOptions); err == nil {
		t.Error("undefined names were accepted")
	}
	opts := testOptions
	opts.AllowUndefined = true
	u, err := Assemble("", []byte(src), opts)
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{
		{PC: 0, Kind: RefMap, Symbol: "m"},
		{PC: 2, Kind: RefMapValue, Symbol: "v", Addend: 4},
		{PC: 4, Kind: RefFunc, Symbol: "f"},
		{PC: 6, Kind: RefCall, Symbol: "g"},
	}
	if diff := cmp.Diff(want, u.Sections[0].Refs); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
}

func TestNotPlain(t *testing.T) {
	for _, src := range []string{
		".map m type=hash\nr1 = map[m]\nexit",
		".section a\nexit\n.section b\nexit",
		"call kfunc f\nexit",
	} {
		if p, err := AssembleProgram(src); !errors.Is(err, ErrNotPlain) {
			t.Errorf("%q: %v, %v", src, p, err)
		}
	}
	if p, err := AssembleProgram("; nothing"); p != nil || err != nil {
		t.Errorf("empty source: %v, %v", p, err)
	}
}

// TestNumberedName checks "call name#N" where names are known: the kernel prints
// its own functions in this form, and a translated program has addresses.
func TestNumberedName(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"call bpf_ktime_get_ns#5", "call helper#5"},
		{"call bpf_ktime_get_ns#269488", "call helper#5"},
		{"call bpf_ktime_get_ns#-269488", "call helper#5"},
		{"call bpf_rcu_read_lock#38291", "call kfunc#38291"},
		{"call unknown#500", "call helper#500"},
		{"call bpf_ktime_get_ns#6", `1:6: helper "bpf_ktime_get_ns" has number 5, not 6`},
	} {
		u, err := Assemble("", []byte(tt.src), testOptions)
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = strings.TrimSpace(text(t, u.Sections[0].Insns))
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.src, got, tt.want)
		}
	}
}
