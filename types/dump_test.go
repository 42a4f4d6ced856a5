package types_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// A struct whose members are not where C would put them: packed, with a gap.
func ExampleDump() {
	u8 := &btf.Int{Name: "unsigned char", Size: 1}
	u32 := &btf.Int{Name: "unsigned int", Size: 4}
	node := &btf.Struct{Name: "node", Size: 16}
	node.Members = []btf.Member{
		{Name: "next", Type: &btf.Pointer{Target: node}},
		{Name: "flags", Type: u32, Offset: 64, BitfieldSize: 3},
	}
	list := []btf.Type{
		&btf.Struct{Name: "head", Size: 21, Members: []btf.Member{
			{Name: "kind", Type: u8},
			{Name: "first", Type: node, Offset: 8},
			{Name: "count", Type: u32, Offset: 136},
		}},
		&btf.Struct{Name: "gap", Size: 12, Members: []btf.Member{
			{Name: "a", Type: u32},
			{Name: "b", Type: u8, Offset: 64},
		}},
	}
	if err := types.Dump(os.Stdout, list); err != nil {
		os.Stdout.WriteString(err.Error())
	}
	// Output:
	// struct node;
	//
	// struct node {
	// 	struct node *next;
	// 	unsigned int flags : 3;
	// };
	//
	// struct head {
	// 	unsigned char kind;
	// 	struct node first;
	// 	unsigned int count;
	// } __attribute__((packed));
	//
	// struct gap {
	// 	unsigned int a;
	// 	unsigned long : 32;
	// 	unsigned char b;
	// };
}

// TestDumpNames: what C cannot say as it is gets another name, once for all uses.
func TestDumpNames(t *testing.T) {
	i32 := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	first, second := &btf.Struct{Name: "s", Size: 4, Members: []btf.Member{{Name: "a", Type: i32}}}, &btf.Struct{Name: "s", Size: 4, Members: []btf.Member{{Name: "b", Type: i32}}}
	anon := &btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "A"}, {Name: "B", Value: 1}}}
	list := []btf.Type{
		first, second,
		&btf.Struct{Name: "user", Size: 16, Members: []btf.Member{
			{Name: "one", Type: first}, {Name: "int", Type: second, Offset: 32}, {Name: "e", Type: anon, Offset: 64}, {Name: "f", Type: anon, Offset: 96},
		}},
		&btf.Enum{Name: "other", Size: 1, Values: []btf.EnumValue{{Name: "A"}}},
		&btf.Typedef{Name: "core::Option<u32>", Type: &btf.Int{Name: "u32", Size: 4}},
		&btf.Typedef{Name: "B", Type: &btf.Int{Name: "__int128 unsigned", Size: 16}},
		&btf.Func{Name: "third.constprop.0", Linkage: btf.StaticFunc, Type: &btf.FuncProto{Return: &btf.Void{}, Params: []btf.FuncParam{{Type: &btf.Void{}}}}},
		&btf.Datasec{Name: ".bss", Vars: []btf.VarSecinfo{{Type: &btf.Var{Name: "v", Type: second}}}},
	}
	var b strings.Builder
	if err := types.Dump(&b, list); err != nil {
		t.Fatal(err)
	}
	const want = `struct s {
	int a;
};

struct s___2 {
	int b;
};

struct user {
	struct s one;
	struct s___2 int_;
	enum {
		A = 0,
		B = 1,
	} e;
	unsigned int f;
};

enum other {
	A___2 = 0,
} __attribute__((mode(byte)));

typedef unsigned int core__Option_u32_;

typedef unsigned __int128 B___2;

static void third_constprop_0();

/* section .bss */
extern struct s___2 v;
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestDumpHostile: types that contain each other, that multiply, or that go on and
// on end, in bounded text.
func TestDumpHostile(t *testing.T) {
	loop := &btf.Struct{Name: "loop", Size: 8}
	loop.Members = []btf.Member{{Name: "self", Type: loop}}
	anon := &btf.Struct{Size: 8}
	anon.Members = []btf.Member{{Name: "self", Type: anon}}
	array := &btf.Array{Nelems: 1}
	array.Type = array
	var doubled btf.Type = &btf.Int{Name: "int", Size: 4}
	for range 60 {
		doubled = &btf.Struct{Size: 8, Members: []btf.Member{{Name: "a", Type: doubled}, {Name: "b", Type: doubled, Offset: 32}}}
	}
	var chain btf.Type = &btf.Void{}
	for range 30000 {
		chain = &btf.Pointer{Target: chain}
	}
	wide := &btf.Struct{Name: "s", Size: 8 * 30000}
	for i := range 30000 {
		wide.Members = append(wide.Members, btf.Member{Name: "m", Type: &btf.Const{Type: chain}, Offset: btf.Bits(i * 64)})
	}
	var deep btf.Type = &btf.Int{Name: "int", Size: 4}
	for range 5000 {
		deep = &btf.Typedef{Name: "t", Type: deep}
	}
	for name, typ := range map[string]btf.Type{
		"contains itself":           loop,
		"unnamed, contains itself":  &btf.Struct{Name: "s", Size: 8, Members: []btf.Member{{Name: "m", Type: anon}}},
		"array of itself":           &btf.Struct{Name: "s", Size: 8, Members: []btf.Member{{Name: "m", Type: array}}},
		"doubled at each level":     &btf.Struct{Name: "s", Size: 8, Members: []btf.Member{{Name: "m", Type: doubled}}},
		"thousands of typedefs":     deep,
		"many ways into one chain":  wide,
		"gap of gigabytes":          &btf.Struct{Name: "s", Size: 1 << 31, Members: []btf.Member{{Name: "m", Type: &btf.Int{Name: "int", Size: 4}}}},
		"variable of itself":        &btf.Var{Name: "v", Type: array},
		"function of unnamed loops": &btf.Func{Name: "f", Type: &btf.FuncProto{Return: anon}},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			err := types.Dump(&b, []btf.Type{typ})
			if err != nil && !errors.Is(err, types.ErrTooLarge) {
				t.Error(err)
			}
			if b.Len() > 4<<20 {
				t.Errorf("%d bytes of text", b.Len())
			}
		})
	}
}
