package labs

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// variable is a value that differs from student to student: a number of a range, or
// one of several texts.
type variable struct {
	name     string
	min, max uint64
	hex      bool
	texts    []string
}

var variableName = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

func parseVariable(rest string) (variable, error) {
	name, what, _ := strings.Cut(rest, " ")
	v := variable{name: name}
	if !variableName.MatchString(name) {
		return v, fmt.Errorf("%q: want a name in capitals", name)
	}
	if lo, hi, ok := strings.Cut(what, ".."); ok && !strings.Contains(what, "|") {
		var err error
		if v.min, err = strconv.ParseUint(lo, 0, 64); err != nil {
			return v, err
		}
		if v.max, err = strconv.ParseUint(hi, 0, 64); err != nil {
			return v, err
		}
		if v.hex = strings.HasPrefix(lo, "0x"); v.max <= v.min {
			return v, fmt.Errorf("%s is no range", what)
		}
		return v, nil
	}
	v.texts = strings.Split(strings.ReplaceAll(what, `\n`, "\n"), "|")
	if len(v.texts) < 2 {
		return v, fmt.Errorf("%q: want 3..20 or one|two", what)
	}
	return v, nil
}

// value draws the variable for a student. The same lab and student give the same
// value everywhere; SHA-256 spreads neighbouring names.
func (v *variable) value(lab int, student string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "bpfvm lab %d\x00%s\x00%s", lab, student, v.name))
	n := binary.LittleEndian.Uint64(sum[:])
	if v.texts != nil {
		return v.texts[n%uint64(len(v.texts))]
	}
	n = v.min + n%(v.max-v.min+1)
	if v.hex {
		return fmt.Sprintf("%#x", n)
	}
	return strconv.FormatUint(n, 10)
}
