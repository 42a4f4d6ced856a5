package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// scanner reads one line. The script's grammar has no tokens of its own: what a
// character means depends on the place, "kprobe:vfs_read" is one word and "a=b"
// are two.
type scanner struct {
	text string
	off  int
	line int
	// depth is how deep functions are nested at the moment.
	depth int
	// spent is how many bytes the script's values have made so far.
	spent int
}

// maxDepth bounds the nesting of functions and of JSON.
const maxDepth = 32

func (s *scanner) pos() Pos { return Pos{Line: s.line, Col: s.off + 1} }

func (s *scanner) space() {
	for s.off < len(s.text) && (s.text[s.off] == ' ' || s.text[s.off] == '\t' || s.text[s.off] == '\r') {
		s.off++
	}
}

// peek returns the next byte, or 0 at the end of the line.
func (s *scanner) peek() byte {
	if s.off < len(s.text) {
		return s.text[s.off]
	}
	return 0
}

// end reports whether the statement ends here.
func (s *scanner) end() bool {
	s.space()
	c := s.peek()
	return s.off >= len(s.text) || c == ';' || c == '#'
}

// accept takes the literal if it comes next.
func (s *scanner) accept(lit string) bool {
	if strings.HasPrefix(s.text[s.off:], lit) {
		s.off += len(lit)
		return true
	}
	return false
}

// isWord reports whether a byte can be part of a word that needs no quotes. A
// "#" or ";" begins something else, and so do the signs of the grammar.
func isWord(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune(`;#"'()[]{},=<>!~`, rune(c))
}

// word takes a word; it may be empty.
func (s *scanner) word() string {
	start := s.off
	for s.off < len(s.text) && isWord(s.text[s.off]) {
		s.off++
	}
	return s.text[start:s.off]
}

// rest takes what is left of the statement up to the next blank, for messages.
func (s *scanner) rest() string {
	t := s.text[s.off:]
	if i := strings.IndexAny(t, " \t;#"); i > 0 {
		t = t[:i]
	}
	if len(t) > 32 {
		t = t[:32] + "..."
	}
	return t
}

func (s *scanner) errf(p Pos, format string, args ...any) *Error {
	return &Error{Pos: p, Msg: fmt.Sprintf(format, args...)}
}

// value takes a value.
func (s *scanner) value() (Value, *Error) {
	s.space()
	p := s.pos()
	switch c := s.peek(); {
	case c == '"':
		text, err := s.quoted()
		return Value{Pos: p, Kind: ValueString, Text: text}, err
	case c == '{' || c == '[':
		text, err := s.json()
		return Value{Pos: p, Kind: ValueJSON, Text: text}, err
	}
	w := s.word()
	switch {
	case w == "" && s.off >= len(s.text):
		return Value{}, s.errf(p, "a value is missing")
	case w == "":
		return Value{}, s.errf(p, "unexpected %q, a value is wanted", s.rest())
	case s.peek() == '(':
		return s.call(p, w)
	case (w == "struct" || w == "union") && s.peek() == ' ':
		return s.structValue(p, w)
	case w[0] >= '0' && w[0] <= '9' || w[0] == '-' && len(w) > 1 && w[1] >= '0' && w[1] <= '9':
		return s.number(p, w)
	}
	if !utf8.ValidString(w) {
		return Value{}, s.errf(p, "%q is not UTF-8; write bytes as bytes(\"..\")", w)
	}
	return Value{Pos: p, Kind: ValueWord, Text: w}, nil
}

// number reads a number or a duration.
func (s *scanner) number(p Pos, w string) (Value, *Error) {
	digits, neg := strings.CutPrefix(w, "-")
	if hex := strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X"); hex || strings.Trim(digits, "0123456789") == "" {
		if !hex && len(digits) > 1 && digits[0] == '0' {
			return Value{}, s.errf(p, "%s begins with 0; write it in decimal or after 0x", w)
		}
		base := 10
		if hex {
			digits, base = digits[2:], 16
		}
		n, err := strconv.ParseUint(digits, base, 64)
		switch {
		case err != nil && strings.Contains(err.Error(), "range"):
			return Value{}, s.errf(p, "%s has more than 64 bits", w)
		case err != nil:
			return Value{}, s.errf(p, "%s is not a number", w)
		case neg && n > 1<<63:
			return Value{}, s.errf(p, "%s is less than the least 64-bit number", w)
		case neg && n == 0:
			neg = false
		case neg:
			n = -n
		}
		return Value{Pos: p, Num: n, Neg: neg, Hex: hex}, nil
	}
	if d, ok := parseDuration(digits); ok && !neg {
		return Value{Pos: p, Kind: ValueDuration, Num: uint64(d)}, nil
	} else if ok {
		return Value{}, s.errf(p, "%s: a duration is not negative", w)
	}
	// Words may begin with a digit: an address, a version.
	if !utf8.ValidString(w) {
		return Value{}, s.errf(p, "%q is not a number", w)
	}
	return Value{Pos: p, Kind: ValueWord, Text: w}, nil
}

// parseDuration reads one number with a unit: 10ms, 1.5s. The result is exact:
// fractions of a nanosecond are refused.
func parseDuration(w string) (time.Duration, bool) {
	i := strings.IndexFunc(w, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i <= 0 {
		return 0, false
	}
	num, unit := w[:i], int64(0)
	for _, u := range durationUnits {
		if w[i:] == u.name {
			unit = u.ns
		}
	}
	if unit == 0 {
		return 0, false
	}
	whole, frac, dot := strings.Cut(num, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, false
	}
	ns := n * unit
	if dot {
		if frac == "" || len(frac) > 12 {
			return 0, false
		}
		f, err := strconv.ParseInt(frac, 10, 64)
		scale := int64(math.Pow10(len(frac)))
		if err != nil || f != 0 && f > math.MaxInt64/unit || f*unit%scale != 0 {
			return 0, false
		}
		ns += f * unit / scale
	}
	return time.Duration(ns), ns >= 0
}

// quoted takes a string in double quotes with Go's escapes.
func (s *scanner) quoted() (string, *Error) {
	p := s.pos()
	q, err := strconv.QuotedPrefix(s.text[s.off:])
	if err != nil {
		return "", s.errf(p, "the string has no end, or an escape that Go does not know")
	}
	s.off += len(q)
	text, err := strconv.Unquote(q)
	if err != nil {
		return "", s.errf(p, "bad string %s", q)
	}
	return text, nil
}

// json takes a JSON object or array as it stands; its place gives it a type later.
func (s *scanner) json() (string, *Error) {
	p, start, depth := s.pos(), s.off, 0
	for s.off < len(s.text) {
		switch s.text[s.off] {
		case '"':
			if _, err := s.quoted(); err != nil {
				return "", err
			}
			continue
		case '{', '[':
			if depth++; depth > maxDepth {
				return "", s.errf(p, "nested more than %d deep", maxDepth)
			}
		case '}', ']':
			depth--
		}
		s.off++
		if depth == 0 {
			return s.text[start:s.off], nil
		}
	}
	return "", s.errf(p, "%q has no end", s.text[start:start+1])
}

// call takes the arguments of a function and checks them.
func (s *scanner) call(p Pos, name string) (Value, *Error) {
	v := Value{Pos: p, Kind: ValueCall, Text: name}
	arity, known := funcs[name]
	if !known {
		return v, s.errf(p, "unknown function %s%s", name, didYouMean(name, keys(funcs)))
	}
	if s.depth++; s.depth > maxDepth {
		return v, s.errf(p, "functions nested more than %d deep", maxDepth)
	}
	defer func() { s.depth-- }()
	s.off++ // (
	for {
		s.space()
		if s.accept(")") {
			break
		}
		if len(v.Args) > 0 {
			if !s.accept(",") {
				return v, s.errf(s.pos(), "\",\" or \")\" is wanted after an argument of %s", name)
			}
		}
		a, err := s.value()
		if err != nil {
			return v, err
		}
		if v.Args = append(v.Args, a); len(v.Args) > maxArgs {
			return v, s.errf(a.Pos, "more than %d arguments", maxArgs)
		}
	}
	if n := len(v.Args); n < arity[0] || n > arity[1] {
		return v, s.errf(p, "%s takes %s, got %d", name, argCount(arity), n)
	}
	return v, s.checkCall(v)
}

// spend counts bytes that a value stands for, so that a short script cannot ask for
// endless work.
func (s *scanner) spend(p Pos, n int) *Error {
	if s.spent += n; s.spent > maxForeign {
		return s.errf(p, "the values of the script have more than %d bytes", maxForeign)
	}
	return nil
}

func argCount(a [2]int) string {
	switch {
	case a[0] == 1 && a[1] == 1:
		return "one argument"
	case a[1] == maxArgs:
		return fmt.Sprintf("at least %d argument", a[0])
	}
	return fmt.Sprintf("%d to %d arguments", a[0], a[1])
}

// checkCall checks the arguments of a function by trying it.
func (s *scanner) checkCall(v Value) *Error {
	name := strings.TrimPrefix(strings.TrimPrefix(v.Text, "user_"), "kernel_")
	for i, a := range v.Args {
		want := ""
		switch name {
		case "str":
			if i == 0 && a.Kind != ValueString {
				want = "a string in quotes"
			} else if i == 1 && (a.Kind != ValueNumber || a.Neg) {
				want = "a size"
			}
		case "bytes":
			if a.Kind != ValueString {
				want = "hexadecimal digits in quotes"
			}
		case "ip":
			if a.Kind != ValueString {
				want = "an address in quotes"
			}
		case "zero", "task":
			if a.Kind != ValueNumber || a.Neg {
				want = "a number"
			}
		case "ptr", "cat":
			if is, _, _ := a.memory(); is && strings.HasSuffix(a.Text, "ptr") {
				want = "a value and not another pointer"
			} else if a.Kind == ValueStruct && name == "cat" {
				want = "a value and not a structure, which goes into ptr(..)"
			}
		}
		if want != "" {
			return &Error{Pos: a.Pos, Msg: fmt.Sprintf("%s: %s is wanted, not %s", v.Text, want, a)}
		}
	}
	if name == "task" {
		_, err := whole(v.Args[0], math.MaxInt32)
		return err
	}
	if v.hasStruct() { // known when the kernel's types are
		return nil
	}
	b, err := v.appendBytes(nil)
	if err != nil {
		return asError(err)
	}
	return s.spend(v.Pos, len(b))
}
