package debug

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// parseBreakpoint reads what Session.Break describes.
func parseBreakpoint(text string, s *Session) (*Breakpoint, error) {
	b := &Breakpoint{Text: strings.TrimSpace(text)}
	rest := b.Text
	if rest == "" {
		return nil, errors.New("say where: *5, drop.c:11, helper:map_update_elem, ret, map:NAME[KEY] write")
	}
	// The log's text may hold anything, so it is cut off first.
	if head, tail, ok := cutWord(rest, "log"); ok {
		quoted := strings.TrimSpace(tail)
		message, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("log %s: want a text in double quotes", quoted)
		}
		if b.log, err = parseLog(message); err != nil {
			return nil, err
		}
		rest = head
	}
	head, cond, hasCond := cutWord(rest, "if")
	var options []string
	if hasCond {
		cond, options = cutOptions(cond)
		x, err := parseExpr(cond)
		if err != nil {
			return nil, fmt.Errorf("if %s: %w", strings.TrimSpace(cond), err)
		}
		b.cond = x
	}
	head, more := cutOptions(head)
	for _, o := range append(more, options...) {
		if err := b.option(o); err != nil {
			return nil, err
		}
	}
	var err error
	b.where, err = parsePlace(strings.TrimSpace(head), s)
	return b, err
}

// cutWord cuts the text around a word that stands alone.
func cutWord(text, word string) (before, after string, ok bool) {
	padded := " " + text + " "
	i := strings.Index(padded, " "+word+" ")
	if i < 0 {
		return text, "", false
	}
	return strings.TrimSpace(padded[:i]), strings.TrimSpace(padded[i+len(word)+2:]), true
}

// cutOptions takes "once" and "hit..." off the end.
func cutOptions(text string) (rest string, options []string) {
	f := strings.Fields(text)
	for len(f) > 0 {
		last := f[len(f)-1]
		if last != "once" && !strings.HasPrefix(last, "hit%") && !strings.HasPrefix(last, "hit==") && !strings.HasPrefix(last, "hit>=") {
			break
		}
		options = append(options, last)
		f = f[:len(f)-1]
	}
	return strings.Join(f, " "), options
}

func (b *Breakpoint) option(o string) error {
	if o == "once" {
		b.Once = true
		return nil
	}
	for _, h := range []struct {
		prefix string
		to     *uint64
	}{{"hit%", &b.every}, {"hit==", &b.nth}, {"hit>=", &b.from}} {
		if digits, ok := strings.CutPrefix(o, h.prefix); ok {
			n, err := strconv.ParseUint(digits, 10, 63)
			if err != nil || n == 0 {
				return fmt.Errorf("%s: want a number from 1", o)
			}
			*h.to = n
		}
	}
	return nil
}

// parsePlace reads the place alone.
func parsePlace(text string, s *Session) (place, error) {
	word, rest, colon := strings.Cut(text, ":")
	switch {
	case text == "ret":
		return retPlace{}, nil
	case strings.HasPrefix(text, "*"):
		return parseSlot("", text, s)
	case colon && strings.HasPrefix(rest, "*"):
		return parseSlot(word, rest, s)
	case !colon:
		if n, err := strconv.Atoi(text); err == nil {
			return parseLine("", n, s)
		}
		return parseFunc(text, s)
	}
	switch word {
	case "helper":
		return parseHelper(rest)
	case "event":
		n, err := strconv.Atoi(rest)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("event:%s: want a number from 1", rest)
		}
		return &eventPlace{n}, nil
	case "branch":
		return parseBranch(rest)
	case "map":
		return parseMapPlace(rest, s)
	case "stack":
		return parseMemory(vm.RegionStack, word, rest)
	case "packet", "pkt":
		return parseMemory(vm.RegionPacket, "packet", rest)
	case "ctx":
		return parseMemory(vm.RegionCtx, word, rest)
	case "x86":
		return nil, fmt.Errorf("x86:%s: breakpoints in machine code: %w", rest, errors.ErrUnsupported)
	}
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		if n, err := strconv.Atoi(text[i+1:]); err == nil {
			return parseLine(text[:i], n, s)
		}
	}
	return nil, fmt.Errorf("%q is no place: want *5, FILE:LINE, FUNCTION, helper:NAME, ret, map:NAME[KEY] write, stack:-8 write", text)
}

func parseSlot(prog, text string, s *Session) (place, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "*"))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%s: want the number of a slot", text)
	}
	longest, found := 0, prog == ""
	for _, p := range s.trace.Collection().Programs {
		if prog == "" || p.Name == prog {
			found = true
			longest = max(longest, len(p.Insns))
			if n < len(p.Insns) && !slotBegins(p.Insns, isa.PC(n)) && prog != "" {
				return nil, fmt.Errorf("slot %d is the second half of the instruction at %d", n, n-1)
			}
		}
	}
	switch {
	case !found:
		return nil, fmt.Errorf("no program %s", prog)
	case n >= longest:
		return nil, fmt.Errorf("slot %d: the program has %d", n, longest)
	}
	return &slotPlace{prog, isa.PC(n)}, nil
}

// slotBegins reports whether an instruction begins at the slot.
func slotBegins(p isa.Program, pc isa.PC) bool {
	for at := range p.All() {
		if at >= pc {
			return at == pc
		}
	}
	return false
}

// parseLine finds the line in the line information, so that a typing error is one.
func parseLine(file string, line int, s *Session) (place, error) {
	lines := 0
	for _, p := range s.trace.Collection().Programs {
		for _, l := range p.Lines {
			lines++
			if l.Line == line && sameFile(file, l.File) {
				return &linePlace{file, line}, nil
			}
		}
	}
	if lines == 0 {
		return nil, errors.New("the object has no line information")
	}
	return nil, fmt.Errorf("no code belongs to line %d", line)
}

func parseFunc(name string, s *Session) (place, error) {
	for _, p := range s.trace.Collection().Programs {
		for _, f := range p.Funcs {
			if f.Name == name {
				return &funcPlace{name}, nil
			}
		}
		if p.Name == name {
			return &funcPlace{name}, nil
		}
	}
	return nil, fmt.Errorf("no function %s", name)
}

func parseHelper(name string) (place, error) {
	proto := spec.HelperByName(name)
	if proto == nil {
		proto = spec.HelperByName("bpf_" + name)
	}
	if proto == nil {
		return nil, fmt.Errorf("no helper is called %s", name)
	}
	return &helperPlace{proto}, nil
}

func parseBranch(text string) (place, error) {
	slot, way, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(slot)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("branch:%s: want the number of a slot", slot)
	}
	switch strings.TrimSpace(way) {
	case "taken":
		return &branchPlace{pc: isa.PC(n), taken: true}, nil
	case "not taken":
		return &branchPlace{pc: isa.PC(n)}, nil
	}
	return nil, fmt.Errorf("branch:%s %q: want taken or not taken", slot, way)
}

// parseMemory reads OFF[/SIZE] read|write|access.
func parseMemory(kind vm.RegionKind, word, text string) (place, error) {
	where, mode, _ := strings.Cut(text, " ")
	where, size, sized := strings.Cut(where, "/")
	w := &memPlace{kind: kind, word: word, size: 8}
	if kind != vm.RegionStack {
		w.size = 1
	}
	var err error
	if w.off, err = strconv.ParseInt(where, 0, 32); err != nil {
		return nil, fmt.Errorf("%s:%s: want an offset in bytes", word, where)
	}
	if sized {
		if w.size, err = strconv.ParseUint(size, 0, 16); err != nil || w.size == 0 {
			return nil, fmt.Errorf("%s:%s/%s: want a size in bytes", word, where, size)
		}
	}
	switch strings.TrimSpace(mode) {
	case "write":
		w.write = true
	case "read":
		w.read = true
	case "access", "":
		w.read, w.write = true, true
	default:
		return nil, fmt.Errorf("%s:%s %q: want read, write or access", word, where, mode)
	}
	return w, nil
}

// parseMapPlace reads NAME, NAME[KEY], and write.
func parseMapPlace(text string, s *Session) (place, error) {
	text = strings.TrimSpace(text)
	if t, ok := strings.CutSuffix(text, "write"); ok && (strings.HasSuffix(t, " ") || strings.HasSuffix(t, "]")) {
		text = strings.TrimSpace(t)
	}
	name, key, hasKey := strings.Cut(text, "[")
	m := s.trace.Collection().Map(name)
	if m == nil {
		return nil, fmt.Errorf("no map %s", name)
	}
	w := &mapPlace{name: name}
	if !hasKey {
		return w, nil
	}
	key, ok := strings.CutSuffix(key, "]")
	if !ok {
		return nil, fmt.Errorf("map:%s[%s: no closing bracket", name, key)
	}
	w.words = key
	if q, err := strconv.Unquote(key); err == nil {
		w.key, err = textKey(q, m.KeySize)
		return w, err
	}
	n, err := strconv.ParseUint(key, 0, 64)
	if err != nil {
		return nil, fmt.Errorf("key %s: want a number or a text in double quotes", key)
	}
	w.key, err = numberKey(n, m.KeySize)
	return w, err
}
