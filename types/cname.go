package types

import (
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// cInts are the integers that C has a name for, with their sizes on BPF and on
// x86-64. Other languages name theirs otherwise, and old compilers write the words
// of a name in an order that is not C's.
var cInts = map[string]uint32{
	"_Bool": 1, "char": 1, "signed char": 1, "unsigned char": 1,
	"short": 2, "short int": 2, "signed short": 2, "unsigned short": 2, "short unsigned int": 2, "unsigned short int": 2,
	"int": 4, "signed int": 4, "unsigned int": 4, "unsigned": 4, "signed": 4,
	"long": 8, "long int": 8, "unsigned long": 8, "long unsigned int": 8, "unsigned long int": 8,
	"long long": 8, "long long int": 8, "unsigned long long": 8, "long long unsigned int": 8, "unsigned long long int": 8,
	"__int128": 16, "unsigned __int128": 16,
}

// cInt returns the C name of an integer type.
func cInt(t *btf.Int) string {
	if size, ok := cInts[t.Name]; ok && size == t.Size {
		return t.Name
	}
	if t.Encoding == btf.Bool && t.Size == 1 {
		return "_Bool"
	}
	return intName(t.Size, t.Encoding == btf.Signed)
}

// intName returns the C name of an integer of a size.
func intName(size uint32, signed bool) string {
	name := "unsigned "
	if signed {
		name = ""
	}
	switch {
	case size <= 1 && signed:
		return "signed char"
	case size <= 1:
		return "unsigned char"
	case size == 2:
		return name + "short"
	case size <= 4:
		return name + "int"
	case size <= 8:
		return name + "long long"
	}
	return name + "__int128"
}

// cFloat returns the C name of a floating point type.
func cFloat(t *btf.Float) string {
	switch t.Size {
	case 2:
		return "_Float16"
	case 4:
		return "float"
	case 8:
		return "double"
	}
	return "long double"
}

// enumMode gives an enum a size other than that which its values ask for.
func enumMode(t *btf.Enum) string {
	wide := false
	for _, v := range t.Values {
		if t.Signed {
			wide = wide || int64(v.Value) != int64(int32(v.Value))
		} else {
			wide = wide || v.Value > 1<<32-1
		}
	}
	switch {
	case t.Size == 1:
		return " __attribute__((mode(byte)))"
	case t.Size == 2:
		return " __attribute__((mode(HI)))"
	case t.Size == 8 && !wide:
		return " __attribute__((mode(word)))"
	}
	return ""
}

// cWords are the words that cannot be names.
var cWords = wordSet(`auto break case char const continue default do double else enum extern float for goto if
	inline int long register restrict return short signed sizeof static struct switch typedef union unsigned
	void volatile while _Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn _Static_assert
	_Thread_local asm typeof __int128 _Float16`)

func wordSet(list string) map[string]bool {
	set := make(map[string]bool)
	for w := range strings.FieldsSeq(list) {
		set[w] = true
	}
	return set
}

// cIdent makes a name that C takes: letters, digits and underscores, and none of
// its own words.
func cIdent(name string) string {
	if name == "" {
		return ""
	}
	if cWords[name] {
		return name + "_"
	}
	ok := true
	for i := range len(name) {
		ok = ok && isIdent(name[i], i)
	}
	if ok {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		if !isIdent(c, 1) {
			b[i] = '_'
		}
	}
	if !isIdent(b[0], 0) {
		return "_" + string(b)
	}
	return string(b)
}

// isIdent reports whether a byte may stand at a place of a name.
func isIdent(c byte, at int) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || at > 0 && c >= '0' && c <= '9'
}

// names hands out names that have not been used: the second "foo" is "foo___2",
// as bpftool has it.
type names map[string]int

func (n names) take(name string) string {
	for {
		n[name]++
		if n[name] == 1 {
			return name
		}
		next := name + "___" + strconv.Itoa(n[name])
		if n[next] == 0 {
			n[next] = 1
			return next
		}
	}
}
