package types

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

var (
	tChar  = &btf.Int{Name: "char", Size: 1, Encoding: btf.Signed}
	tBool  = &btf.Int{Name: "_Bool", Size: 1, Encoding: btf.Bool}
	tU8    = &btf.Int{Name: "unsigned char", Size: 1}
	tInt   = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	tU32   = &btf.Int{Name: "unsigned int", Size: 4}
	tU64   = &btf.Int{Name: "unsigned long", Size: 8}
	tI128  = &btf.Int{Name: "__int128", Size: 16, Encoding: btf.Signed}
	tVoidP = &btf.Pointer{Target: (*btf.Void)(nil)}
	tState = &btf.Enum{Name: "state", Size: 4, Values: []btf.EnumValue{{Name: "IDLE", Value: 0}, {Name: "RUN", Value: 1}}}
	tErr   = &btf.Enum{Name: "err", Size: 4, Signed: true, Values: []btf.EnumValue{{Name: "NONE", Value: 0}, {Name: "BAD", Value: ^uint64(0)}}}
	tComm  = &btf.Array{Index: tU32, Type: tChar, Nelems: 8}
	tBits  = &btf.Struct{Name: "bits", Size: 4, Members: []btf.Member{
		{Name: "a", Type: tU32, Offset: 0, BitfieldSize: 3},
		{Name: "b", Type: tInt, Offset: 3, BitfieldSize: 5},
		{Name: "s", Type: tState, Offset: 8, BitfieldSize: 1},
		{Type: tU32, Offset: 9, BitfieldSize: 7},
		{Name: "c", Type: tU32, Offset: 16, BitfieldSize: 16},
	}}
	tAnon = &btf.Struct{Name: "anon", Size: 16, Members: []btf.Member{
		{Name: "kind", Type: tU32},
		{Type: &btf.Union{Size: 8, Members: []btf.Member{
			{Name: "v4", Type: tU32},
			{Type: &btf.Struct{Size: 8, Members: []btf.Member{{Name: "lo", Type: tU32}, {Name: "hi", Type: tU32, Offset: 32}}}},
		}}, Offset: 32},
		{Name: "ok", Type: &btf.Typedef{Name: "bool", Type: tBool}, Offset: 96},
	}}
)

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		name       string
		typ        btf.Type
		hex        string
		json, text string
	}{
		{"u8", tU8, "ff", "255", "255"},
		{"int", tInt, "feffffff", "-2", "-2"},
		{"u32", tU32, "feffffff", "4294967294", "4294967294"},
		{"u64", tU64, "0000008188ffffff", "18446743560477736960", "0xffffff8881000000"},
		{"const volatile", &btf.Const{Type: &btf.Volatile{Type: tU32}}, "01000000", "1", "1"},
		{"int128", tI128, "01000000000000000000000000000080", `"0x80000000000000000000000000000001"`, "0x80000000000000000000000000000001"},
		{"bool", tBool, "01", "true", "true"},
		{"odd bool", tBool, "02", "2", "2"},
		{"enum", tState, "01000000", `"RUN"`, "RUN"},
		{"unnamed enum value", tState, "07000000", "7", "7"},
		{"signed enum", tErr, "ffffffff", `"BAD"`, "BAD"},
		{"unnamed signed enum value", tErr, "feffffff", "-2", "-2"},
		{"pointer", tVoidP, "0010008188ffffff", `"0xffffff8881001000"`, "0xffffff8881001000"},
		{"float", &btf.Float{Name: "float", Size: 4}, "0000c03f", "1.5", "1.5"},
		{"nan", &btf.Float{Name: "double", Size: 8}, "010000000000f87f", `"NaN"`, "NaN"},
		{"string", tComm, "6261736800000000", `"bash"`, `"bash"`},
		{"full string", tComm, "6162636465666768", `"abcdefgh"`, `"abcdefgh"`},
		{"quotes", tComm, "225c0a0109000000", `"\"\\\n\u0001\t"`, `"\"\\\n\u0001\t"`},
		{"array", &btf.Array{Index: tU32, Type: tU8, Nelems: 3}, "010203", "[1,2,3]", "{1, 2, 3}"},
		{"empty array", &btf.Array{Index: tU32, Type: tU8}, "", "[]", "{}"},
		{"two dimensions", &btf.Array{Index: tU32, Type: &btf.Array{Index: tU32, Type: tU8, Nelems: 2}, Nelems: 2}, "01020304", "[[1,2],[3,4]]", "{{1, 2}, {3, 4}}"},
		{"bits", tBits, "f5013412", `{"a":5,"b":-2,"s":"RUN","c":4660}`, "{a=5, b=-2, s=RUN, c=4660}"},
		{"anonymous members", tAnon, "01000000020000000300000001000000", `{"kind":1,"v4":2,"lo":2,"hi":3,"ok":true}`, "{kind=1, v4=2, lo=2, hi=3, ok=true}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := hex.DecodeString(tt.hex)
			if err != nil {
				t.Fatal(err)
			}
			js, err := Format(tt.typ, data)
			if err != nil {
				t.Fatal(err)
			}
			if string(js) != tt.json {
				t.Errorf("Format = %s, want %s", js, tt.json)
			}
			if !json.Valid(js) {
				t.Errorf("%s is not JSON", js)
			}
			text, err := Text(tt.typ, data)
			if err != nil || text != tt.text {
				t.Errorf("Text = %s, %v, want %s", text, err, tt.text)
			}
			back, err := Parse(tt.typ, js)
			if err != nil {
				t.Fatal(err)
			}
			if tt.name == "nan" { // NaNs have many forms
				return
			}
			if diff := cmp.Diff(data, back); diff != "" {
				t.Errorf("Parse(Format) differs:\n%s", diff)
			}
		})
	}
}

// A char array with bytes behind the NUL keeps them in JSON and hides them in text.
func TestStringTail(t *testing.T) {
	data := []byte("ab\x00d\x00\x00\x00\x00")
	js, err := Format(tComm, data)
	if err != nil || string(js) != "[97,98,0,100,0,0,0,0]" {
		t.Errorf("Format = %s, %v", js, err)
	}
	if text, err := Text(tComm, data); err != nil || text != `"ab"` {
		t.Errorf("Text = %s, %v", text, err)
	}
	if js, err := Format(tComm, []byte("\xff\xfe\x00\x00\x00\x00\x00\x00")); err != nil || string(js) != "[-1,-2,0,0,0,0,0,0]" {
		t.Errorf("not UTF-8: %s, %v", js, err)
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		typ  btf.Type
		json string
		hex  string
	}{
		{"hexadecimal", tU32, `"0x10"`, "10000000"},
		{"character", tU8, `"'a'"`, "61"},
		{"negative in unsigned", tU32, `-1`, "ffffffff"},
		{"boolean as number", tBool, `1`, "01"},
		{"number as boolean", tU32, `true`, "01000000"},
		{"enum as number", tState, `1`, "01000000"},
		{"enum as hexadecimal", tState, `"0x1"`, "01000000"},
		{"pointer as number", tVoidP, `4096`, "0010000000000000"},
		{"short array", &btf.Array{Index: tU32, Type: tU32, Nelems: 2}, `[1]`, "0100000000000000"},
		{"some members", tAnon, `{"hi": 3}`, "00000000000000000300000000000000"},
		{"the last union member wins", tAnon, `{"v4": 7, "lo": 2}`, "00000000020000000000000000000000"},
		{"nothing", tAnon, `{}`, strings.Repeat("00", 16)},
	} {
		got, err := Parse(tt.typ, []byte(tt.json))
		if err != nil || hex.EncodeToString(got) != tt.hex {
			t.Errorf("%s: %x, %v, want %s", tt.name, got, err, tt.hex)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		typ  btf.Type
		json string
		is   error
		want string
	}{
		{"too large", tU8, `256`, ErrValue, "256 in 8 bits"},
		{"too small", tU8, `-129`, ErrValue, "-129 in 8 bits"},
		{"too large and signed", tInt, `2147483648`, ErrValue, "in 32 bits"},
		{"fraction", tU8, `1.5`, ErrValue, `"1.5" is not an integer`},
		{"huge exponent", tU8, `1e999999999`, ErrValue, "not an integer"},
		{"many digits", tU8, strings.Repeat("9", 1000), ErrValue, "1000 digits"},
		{"unknown member", tAnon, `{"hj": 1}`, ErrNoField, "hj: no such field; there are kind, v4, lo, hi, ok"},
		{"member's value", tAnon, `{"hi": "x"}`, ErrValue, `hi: "x" is not an integer`},
		{"no name", tBits, `{"": 1}`, ErrNoField, "no such field"},
		{"long string", tComm, `"123456789"`, ErrValue, "string of 9 bytes for 8"},
		{"long array", &btf.Array{Index: tU32, Type: tU8, Nelems: 1}, `[1,2]`, ErrValue, "2 elements for 1"},
		{"element", &btf.Array{Index: tU32, Type: tU8, Nelems: 2}, `[1,300]`, ErrValue, "[1]: 300 in 8 bits"},
		{"array for struct", tAnon, `[1]`, ErrValue, "an array for a struct"},
		{"null", tU8, `null`, ErrValue, "null for an integer"},
		{"enum name", tState, `"STOP"`, ErrValue, `"STOP" is no value of enum state`},
		{"bitfield", tBits, `{"a": 8}`, ErrValue, "a: 8 in 3 bits"},
		{"no JSON", tU8, ``, ErrValue, "unexpected EOF"},
		{"two values", tU8, `1 2`, ErrValue, "more than one"},
		{"cut off", tAnon, `{"hi"`, ErrValue, "EOF"},
		{"deep JSON", tU8, strings.Repeat("[", 1000), ErrValue, "nested too deep"},
		{"void", (*btf.Void)(nil), `1`, errors.ErrUnsupported, "no value"},
		{"huge", &btf.Array{Index: tU32, Type: tU64, Nelems: 1 << 27}, `[]`, ErrSize, "too many"},
	} {
		_, err := Parse(tt.typ, []byte(tt.json))
		if err == nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Types from broken BTF give errors, and in bounded time.
func TestHostileTypes(t *testing.T) {
	self := &btf.Struct{Name: "self", Size: 4}
	self.Members = []btf.Member{{Name: "s", Type: self}}
	loop := &btf.Typedef{Name: "loop"}
	loop.Type = loop
	twice := func() btf.Type { // 2^30 leaves in four bytes
		var typ btf.Type = tU32
		for range 30 {
			typ = &btf.Union{Size: 4, Members: []btf.Member{{Name: "a", Type: typ}, {Name: "b", Type: typ}}}
		}
		return typ
	}()
	anonymous := func() btf.Type {
		var typ btf.Type = &btf.Struct{Size: 0}
		for range 30 {
			typ = &btf.Union{Members: []btf.Member{{Type: typ}, {Type: typ}}}
		}
		return typ
	}()
	for _, tt := range []struct {
		name string
		typ  btf.Type
		size int
	}{
		{"contains itself", self, 4},
		{"typedef of itself", loop, 4},
		{"doubles itself", twice, 4},
		{"doubles itself without members", anonymous, 0},
		{"member outside", &btf.Struct{Size: 4, Members: []btf.Member{{Name: "x", Type: tU32, Offset: 64}}}, 4},
		{"bits outside", &btf.Struct{Size: 4, Members: []btf.Member{{Name: "x", Type: tU32, Offset: 31, BitfieldSize: 8}}}, 4},
		{"too many bits", &btf.Struct{Size: 16, Members: []btf.Member{{Name: "x", Type: tI128, BitfieldSize: 65}}}, 16},
		{"odd integer", &btf.Int{Name: "x", Size: 3}, 3},
		{"wrong size", tU32, 3},
		{"function", &btf.Func{Name: "f", Type: &btf.FuncProto{Return: tInt}}, 0},
		{"forward", &btf.Fwd{Name: "f"}, 0},
	} {
		if js, err := Format(tt.typ, make([]byte, tt.size)); err == nil {
			t.Errorf("%s: formatted as %.100s", tt.name, js)
		}
		if s := Declare(tt.typ, "x"); len(s) > 2*maxText {
			t.Errorf("%s: declaration of %d bytes", tt.name, len(s))
		}
		if s := Define(tt.typ, true); len(s) > 2*maxText {
			t.Errorf("%s: definition of %d bytes", tt.name, len(s))
		}
		if _, err := Parse(tt.typ, []byte(`{"nothing": 1}`)); err == nil {
			t.Errorf("%s: parsed", tt.name)
		}
	}
	// Many elements without bytes are no work.
	none := &btf.Array{Index: tU32, Type: &btf.Struct{}, Nelems: 1<<32 - 1}
	if js, err := Format(none, nil); err != nil || string(js) != "[]" {
		t.Errorf("elements without bytes: %s, %v", js, err)
	}
}

func TestRaw(t *testing.T) {
	for _, tt := range []struct{ hex, json, text string }{
		{"2a", "42", "42"},
		{"0100", "1", "1"},
		{"ffffffff", "4294967295", "4294967295"},
		{"00000081ffffffff", "18446744071578845184", "0xffffffff81000000"},
		{"010203", `"010203"`, "010203"},
		{"000102030405060708", `"000102030405060708"`, "0001020304050607 08"},
		{"", `""`, ""},
	} {
		data, _ := hex.DecodeString(tt.hex)
		js := FormatRaw(data)
		if string(js) != tt.json {
			t.Errorf("%s: FormatRaw = %s, want %s", tt.hex, js, tt.json)
		}
		if got := TextRaw(data); got != tt.text {
			t.Errorf("%s: TextRaw = %s, want %s", tt.hex, got, tt.text)
		}
		if back, err := ParseRaw(js, uint32(len(data))); err != nil || hex.EncodeToString(back) != tt.hex {
			t.Errorf("%s: ParseRaw = %x, %v", js, back, err)
		}
	}
	for _, tt := range []struct {
		json string
		size uint32
		want string
	}{
		{`"0x10"`, 4, "10000000"}, {`"10"`, 1, "0a"}, {`"0a 00 00 00"`, 4, "0a000000"}, {`"0a:0b"`, 2, "0a0b"},
		{`[1,2]`, 4, "01020000"}, {`"aabbcc"`, 3, "aabbcc"}, {`[]`, 0, ""},
	} {
		if got, err := ParseRaw([]byte(tt.json), tt.size); err != nil || hex.EncodeToString(got) != tt.want {
			t.Errorf("%s: %x, %v, want %s", tt.json, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		json string
		size uint32
	}{{`1`, 3}, {`256`, 1}, {`"zz"`, 3}, {`[1,2]`, 1}, {`[256]`, 1}, {`{}`, 1}, {`null`, 1}, {`"aabb"`, 3}, {``, 1}, {`"0a 0b"`, 1}, {`""`, 1 << 31}} {
		if got, err := ParseRaw([]byte(tt.json), tt.size); err == nil {
			t.Errorf("%s in %d bytes: %x", tt.json, tt.size, got)
		}
	}
}
