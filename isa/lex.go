package isa

import (
	"fmt"
	"strconv"
	"strings"
)

// tokenKind sorts the words of an instruction line.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota // end of the line
	tokWord                    // a name, register, keyword or directive
	tokNumber                  // starts with a digit; may still turn out malformed
	tokString                  // "quoted", text holds what it means
	tokPunct                   // an operator or bracket
)

// token is one word of a line. Its col counts bytes from 1, as editors do.
type token struct {
	kind tokenKind
	text string
	col  int
}

// String names the token for error messages.
func (t token) String() string {
	if t.kind == tokEnd {
		return "the end of the line"
	}
	const longest = 40 // of a word in a message
	if len(t.text) > longest {
		return strconv.Quote(t.text[:longest]) + "..."
	}
	return strconv.Quote(t.text)
}

// is reports whether t is the given operator or word.
func (t token) is(text string) bool {
	return (t.kind == tokPunct || t.kind == tokWord) && t.text == text
}

// puncts lists the operators, longer ones before their prefixes.
var puncts = []string{
	"s>>=", "<<=", ">>=", "s>=", "s<=", "s/=", "s%=",
	"s>", "s<", "+=", "-=", "*=", "/=", "|=", "&=", "%=", "^=", "==", "!=", ">=", "<=",
	"<", ">", "&", "=", "(", ")", "[", "]", "*", "+", "-", ",", ":", "#",
}

// sourceLine is a line whose comments are blanked out, so that columns stay.
type sourceLine struct {
	num  int
	text string
}

// splitLines cuts the source into lines without comments: // and ; to the end
// of the line, # where it comes first, and /* */ over any number of lines.
// Quoted strings are left alone. A comment that never ends is an error.
func splitLines(src string) ([]sourceLine, *AsmError) {
	var (
		lines []sourceLine
		open  *AsmError // where the /* that is still open began
	)
	for num := 1; len(src) > 0; num++ {
		var line string
		line, src, _ = strings.Cut(src, "\n")
		text := []byte(strings.TrimSuffix(line, "\r"))
		quoted, blank := false, true // blank: nothing but white space so far
		for i := 0; i < len(text); i++ {
			two := string(text[i:min(i+2, len(text))])
			switch {
			case open != nil:
				if two == "*/" {
					open = nil
					text[i+1] = ' '
				}
				text[i] = ' '
			case quoted:
				if text[i] == '\\' {
					i++
				} else if text[i] == '"' {
					quoted = false
				}
			case text[i] == '"':
				quoted = true
			case two == "/*":
				open = &AsmError{Line: num, Col: i + 1, Msg: "comment is not closed: no */ after this"}
				text[i], text[i+1] = ' ', ' '
				i++
			case two == "//" || text[i] == ';' || text[i] == '#' && blank:
				text = text[:i]
				continue
			}
			blank = blank && (text[i] == ' ' || text[i] == '\t')
		}
		if t := string(text); strings.TrimSpace(t) != "" {
			lines = append(lines, sourceLine{num, t})
		}
	}
	return lines, open
}

func isWordStart(c byte) bool {
	return c == '_' || c == '.' || c == '$' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// lexLine cuts an instruction line into tokens; a tokEnd closes the list.
func lexLine(line string) ([]token, *AsmError) {
	var toks []token
	for i := 0; ; {
		for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
			i++
		}
		if i == len(line) {
			return append(toks, token{tokEnd, "", i + 1}), nil
		}
		t, n, err := lexToken(line[i:])
		if err != "" {
			return nil, &AsmError{Col: i + 1, Msg: err}
		}
		t.col = i + 1
		toks = append(toks, t)
		i += n
	}
}

// lexToken reads the token at the start of s and returns its length in s.
func lexToken(s string) (t token, n int, err string) {
	for _, p := range puncts {
		if strings.HasPrefix(s, p) {
			return token{kind: tokPunct, text: p}, len(p), ""
		}
	}
	switch c := s[0]; {
	case c == '"':
		q, e := strconv.QuotedPrefix(s)
		if e != nil {
			return t, 0, "string is not closed, or has an unknown escape"
		}
		text, e := strconv.Unquote(q)
		if e != nil {
			return t, 0, "string has an unknown escape"
		}
		return token{kind: tokString, text: text}, len(q), ""
	case isWordStart(c) || isDigit(c):
		n = 1
		for n < len(s) && (isWordStart(s[n]) || isDigit(s[n])) {
			n++
		}
		kind := tokWord
		if isDigit(c) {
			kind = tokNumber
		}
		return token{kind: kind, text: s[:n]}, n, ""
	}
	r := []rune(s[:min(4, len(s))])[0]
	return t, 0, fmt.Sprintf("character %q has no meaning here", r)
}

// parseNumber reads an unsigned number: decimal, 0x or 0b. A leading zero does
// not make it octal, since dumps pad slot numbers.
func parseNumber(text string) (uint64, error) {
	lower := strings.ToLower(text)
	if d, ok := strings.CutPrefix(lower, "0x"); ok {
		return strconv.ParseUint(d, 16, 64)
	}
	if d, ok := strings.CutPrefix(lower, "0b"); ok {
		return strconv.ParseUint(d, 2, 64)
	}
	return strconv.ParseUint(lower, 10, 64)
}
