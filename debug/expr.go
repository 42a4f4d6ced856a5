package debug

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Eval computes an expression at the present place:
//
//	r0 .. r10 fp w0 .. w10     registers; w is the lower half
//	42 -1 0x2a 'A'             numbers
//	*(u32 *)(r1 +4)            memory, also s32 and so on; u8 u16 u32 u64
//	pkt[12]                    a byte of the packet
//	counts[6] names["bash"]    an element of a map, up to 8 bytes of it
//	ctx data data_end          addresses: the context, the packet's bounds
//	pc step frame event pid cpu time
//	XDP_DROP                   what the program's type calls a result
//	+ - * / % & | ^ << >> ~ !  as in C
//	== != < <= > >= && ||      signed where one side is negative or of an s type
func (s *Session) Eval(text string) (uint64, error) {
	x, err := parseExpr(text)
	if err != nil {
		return 0, err
	}
	v, err := x.eval(s.here)
	return v.n, err
}

// value is a number and how it compares.
type value struct {
	n      uint64
	signed bool
}

// node is a piece of an expression.
type node func(p *Point) (value, error)

// expr is an expression that can be evaluated at any point.
type expr struct {
	text string
	root node
}

func (x *expr) eval(p *Point) (value, error) { return x.root(p) }

// holds reports whether the expression is true; one that has no value is not.
func (x *expr) holds(p *Point) bool {
	v, err := x.root(p)
	return err == nil && v.n != 0
}

// maxDepth bounds nesting, maxExpr the length in bytes.
const (
	maxDepth = 64
	maxExpr  = 4096
)

func parseExpr(text string) (*expr, error) {
	if len(text) > maxExpr {
		return nil, fmt.Errorf("expression of %d bytes: at most %d", len(text), maxExpr)
	}
	ps := &exprParser{}
	if err := ps.scan(text); err != nil {
		return nil, err
	}
	root, err := ps.binary(0)
	if err != nil {
		return nil, err
	}
	if ps.peek() != "" {
		return nil, fmt.Errorf("%q is not expected here", ps.peek())
	}
	return &expr{text, root}, nil
}

type exprParser struct {
	tokens []string
	depth  int
}

// operators of more than one character come first.
var operators = []string{
	"==", "!=", "<=", ">=", "&&", "||", "<<", ">>", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "(", ")", "[", "]",
}

func isWord(c byte) bool {
	return c == '_' || c == '.' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (ps *exprParser) scan(text string) error {
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t':
			i++
		case isWord(c):
			j := i
			for j < len(text) && isWord(text[j]) {
				j++
			}
			ps.tokens = append(ps.tokens, text[i:j])
			i = j
		case c == '"' || c == '\'':
			j := strings.IndexByte(text[i+1:], c)
			if j < 0 {
				return fmt.Errorf("%s: no closing quote", text[i:])
			}
			ps.tokens = append(ps.tokens, text[i:i+j+2])
			i += j + 2
		default:
			op := ""
			for _, o := range operators {
				if strings.HasPrefix(text[i:], o) {
					op = o
					break
				}
			}
			if op == "" {
				return fmt.Errorf("%q is not understood", c)
			}
			ps.tokens = append(ps.tokens, op)
			i += len(op)
		}
	}
	return nil
}

func (ps *exprParser) peek() string {
	if len(ps.tokens) == 0 {
		return ""
	}
	return ps.tokens[0]
}

func (ps *exprParser) take() string {
	t := ps.peek()
	if t != "" {
		ps.tokens = ps.tokens[1:]
	}
	return t
}

func (ps *exprParser) want(t string) error {
	if got := ps.take(); got != t {
		return fmt.Errorf("want %q, got %q", t, got)
	}
	return nil
}

// levels are the binary operators from the loosest to the tightest, as in C.
var levels = [][]string{
	{"||"}, {"&&"}, {"|"}, {"^"}, {"&"}, {"==", "!="}, {"<", "<=", ">", ">="}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"},
}

func (ps *exprParser) binary(level int) (node, error) {
	if level == len(levels) {
		return ps.unary()
	}
	left, err := ps.binary(level + 1)
	if err != nil {
		return nil, err
	}
	for {
		op := ps.peek()
		found := false
		for _, o := range levels[level] {
			found = found || o == op
		}
		if !found {
			return left, nil
		}
		ps.take()
		right, err := ps.binary(level + 1)
		if err != nil {
			return nil, err
		}
		left = combine(op, left, right)
	}
}

func combine(op string, a, b node) node {
	return func(p *Point) (value, error) {
		x, err := a(p)
		if err != nil {
			return value{}, err
		}
		switch { // the right side may have no value then
		case op == "&&" && x.n == 0:
			return value{0, false}, nil
		case op == "||" && x.n != 0:
			return value{1, false}, nil
		}
		y, err := b(p)
		if err != nil {
			return value{}, err
		}
		return operate(op, x, y)
	}
}

func truth(b bool) value {
	if b {
		return value{1, false}
	}
	return value{}
}

func operate(op string, x, y value) (value, error) {
	signed := x.signed || y.signed
	less := x.n < y.n
	if signed {
		less = int64(x.n) < int64(y.n)
	}
	switch op {
	case "&&":
		return truth(x.n != 0 && y.n != 0), nil
	case "||":
		return truth(x.n != 0 || y.n != 0), nil
	case "==":
		return truth(x.n == y.n), nil
	case "!=":
		return truth(x.n != y.n), nil
	case "<":
		return truth(less), nil
	case "<=":
		return truth(less || x.n == y.n), nil
	case ">":
		return truth(!less && x.n != y.n), nil
	case ">=":
		return truth(!less), nil
	}
	v := value{signed: signed}
	switch op {
	case "|":
		v.n = x.n | y.n
	case "^":
		v.n = x.n ^ y.n
	case "&":
		v.n = x.n & y.n
	case "<<":
		v.n = x.n << (y.n & 63)
	case ">>":
		v.n = x.n >> (y.n & 63)
	case "+":
		v.n = x.n + y.n
	case "-":
		v.n = x.n - y.n
	case "*":
		v.n = x.n * y.n
	default:
		if y.n == 0 {
			return v, errors.New("division by zero")
		}
		if v.n = x.n / y.n; op == "%" {
			v.n = x.n % y.n
		}
	}
	return v, nil
}

func (ps *exprParser) unary() (node, error) {
	if ps.depth++; ps.depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	defer func() { ps.depth-- }()
	switch op := ps.peek(); op {
	case "-", "~", "!":
		ps.take()
		x, err := ps.unary()
		if err != nil {
			return nil, err
		}
		return func(p *Point) (value, error) {
			v, err := x(p)
			switch op {
			case "-":
				return value{-v.n, true}, err
			case "~":
				return value{^v.n, v.signed}, err
			}
			return truth(v.n == 0), err
		}, nil
	case "*":
		ps.take()
		return ps.load()
	case "(":
		ps.take()
		x, err := ps.binary(0)
		if err != nil {
			return nil, err
		}
		return x, ps.want(")")
	}
	return ps.primary()
}

// load is *(u32 *)(ADDRESS).
func (ps *exprParser) load() (node, error) {
	if err := ps.want("("); err != nil {
		return nil, err
	}
	typ := ps.take()
	size, signed, ok := loadType(typ)
	if !ok {
		return nil, fmt.Errorf("*(%s: want u8, u16, u32, u64, s8, s16, s32 or s64", typ)
	}
	if err := errors.Join(ps.want("*"), ps.want(")")); err != nil {
		return nil, err
	}
	addr, err := ps.unary()
	if err != nil {
		return nil, err
	}
	return func(p *Point) (value, error) {
		a, err := addr(p)
		if err != nil {
			return value{}, err
		}
		buf := make([]byte, size)
		if !read(p, buf, a.n) {
			return value{}, fmt.Errorf("no %d bytes at %s", size, p.e.world.Memory.Symbolize(a.n))
		}
		n := little(buf)
		if signed {
			shift := 64 - 8*size
			n = uint64(int64(n<<shift) >> shift)
		}
		return value{n, signed}, nil
	}, nil
}

func loadType(t string) (size int, signed, ok bool) {
	if len(t) < 2 || t[0] != 'u' && t[0] != 's' {
		return 0, false, false
	}
	switch t[1:] {
	case "8":
		size = 1
	case "16":
		size = 2
	case "32":
		size = 4
	case "64":
		size = 8
	}
	return size, t[0] == 's', size != 0
}

// read copies memory of the arena, or foreign memory, as far as anybody may read it.
func read(p *Point, dst []byte, addr uint64) bool {
	mem := p.e.world.Memory
	if mem.Find(addr) != nil {
		src := peek(p, addr, uint64(len(dst)))
		copy(dst, src)
		return src != nil
	}
	return mem.Foreign.Read(dst, addr) == len(dst)
}

func (ps *exprParser) primary() (node, error) {
	t := ps.take()
	switch {
	case t == "":
		return nil, errors.New("something is missing at the end")
	case t[0] >= '0' && t[0] <= '9':
		n, err := strconv.ParseUint(t, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", t)
		}
		return func(*Point) (value, error) { return value{n, false}, nil }, nil
	case t[0] == '\'' && len(t) == 3:
		return func(*Point) (value, error) { return value{uint64(t[1]), false}, nil }, nil
	case !isWord(t[0]):
		return nil, fmt.Errorf("%q is not expected here", t)
	}
	t = strings.TrimPrefix(t, "$") // gdb's way to write registers
	if ps.peek() == "[" {
		return ps.element(t)
	}
	if r, ok := register(t); ok {
		half := t[0] == 'w'
		return func(p *Point) (value, error) {
			if p.st == nil {
				return value{}, errAtEnd
			}
			v, known := p.st.Reg(r)
			if !known {
				return value{}, fmt.Errorf("%s holds no value", r)
			}
			if half {
				v = uint64(uint32(v))
			}
			return value{v, false}, nil
		}, nil
	}
	if f := names[t]; f != nil {
		return func(p *Point) (value, error) {
			if p.st == nil && t != "step" {
				return value{}, errAtEnd
			}
			return f(p)
		}, nil
	}
	if strings.ToUpper(t) == t {
		return func(p *Point) (value, error) { return retValue(p, t) }, nil
	}
	return nil, fmt.Errorf("%q is not a name here", t)
}

// errAtEnd is why nothing has a value after the last step.
var errAtEnd = errors.New("no program runs here")

// register reads r0 to r10, w0 to w10 and fp.
func register(t string) (isa.Register, bool) {
	if t == "fp" {
		return isa.FP, true
	}
	if len(t) < 2 || t[0] != 'r' && t[0] != 'w' {
		return 0, false
	}
	n, err := strconv.ParseUint(t[1:], 10, 8)
	if err != nil || n >= isa.NumRegisters || t[1:] != strconv.FormatUint(n, 10) {
		return 0, false
	}
	return isa.Register(n), true
}

// names are the words that stand for a number of the place.
var names = map[string]func(*Point) (value, error){
	"pc":    func(p *Point) (value, error) { return value{uint64(p.st.PC()), false}, nil },
	"step":  func(p *Point) (value, error) { return value{p.Step, false}, nil },
	"frame": func(p *Point) (value, error) { return value{uint64(p.Frame), false}, nil },
	"event": func(p *Point) (value, error) { return value{uint64(p.run().Number), false}, nil },
	"pid":   func(p *Point) (value, error) { return value{uint64(p.run().PID), false}, nil },
	"cpu":   func(p *Point) (value, error) { return value{uint64(p.run().CPU), false}, nil },
	"time":  func(p *Point) (value, error) { return value{uint64(p.run().Time), false}, nil },
	"ctx":   func(p *Point) (value, error) { return value{p.st.Machine().Ctx, false}, nil },
	"data": func(p *Point) (value, error) {
		if r := packetRegion(p); r != nil {
			return value{r.Start, false}, nil
		}
		return value{}, errNoPacket
	},
	"data_end": func(p *Point) (value, error) {
		if r := packetRegion(p); r != nil {
			return value{r.End, false}, nil
		}
		return value{}, errNoPacket
	},
}

var errNoPacket = errors.New("there is no packet")

func (p *Point) run() *Run { return &p.e.index.runs[p.Run] }

// retValue is a number by the name that results of the program's type have.
func retValue(p *Point, name string) (value, error) {
	if p.st == nil || p.st.Code().Spec == nil {
		return value{}, errAtEnd
	}
	for v := int64(-1); v < 16; v++ {
		if spec.RetName(p.st.Code().Spec.Type, uint64(uint32(v))) == name {
			return value{uint64(uint32(v)), false}, nil
		}
	}
	return value{}, fmt.Errorf("%s is not a result of a program of type %s", name, p.st.Code().Spec.Type)
}

// element is pkt[N] or MAP[KEY].
func (ps *exprParser) element(name string) (node, error) {
	ps.take()
	if t := ps.peek(); t != "" && t[0] == '"' {
		ps.take()
		text := strings.Trim(t, `"`)
		return func(p *Point) (value, error) {
			return mapElement(p, name, func(size uint32) ([]byte, error) { return textKey(text, size) })
		}, ps.want("]")
	}
	key, err := ps.binary(0)
	if err != nil {
		return nil, err
	}
	return func(p *Point) (value, error) {
		k, err := key(p)
		if err != nil {
			return value{}, err
		}
		if name == "pkt" {
			r := packetRegion(p)
			if r == nil {
				return value{}, errNoPacket
			}
			if k.n >= r.End-r.Start {
				return value{}, fmt.Errorf("pkt[%d]: the packet has %d bytes", k.n, r.End-r.Start)
			}
			return value{uint64(peek(p, r.Start+k.n, 1)[0]), false}, nil
		}
		return mapElement(p, name, func(size uint32) ([]byte, error) { return numberKey(k.n, size) })
	}, ps.want("]")
}

// mapElement reads an element of a map as a number.
func mapElement(p *Point, name string, key func(size uint32) ([]byte, error)) (value, error) {
	if p.e.world.Collection == nil || p.e.world.Collection.Map(name) == nil {
		return value{}, fmt.Errorf("no map %s", name)
	}
	m := p.e.world.Collection.Map(name)
	k, err := key(m.Spec().KeySize)
	if err != nil {
		return value{}, err
	}
	var v []byte
	p.unlocked(func() { v, err = m.Lookup(k) })
	if err != nil {
		return value{}, fmt.Errorf("%s: no such element", name)
	}
	return value{little(v[:min(len(v), int(m.Spec().ValueSize))]), false}, nil
}

// numberKey is a number as a key.
func numberKey(n uint64, size uint32) ([]byte, error) {
	if size < 8 && n>>(8*size) != 0 {
		return nil, fmt.Errorf("%d does not fit a key of %d bytes", n, size)
	}
	key := make([]byte, size)
	for i := range min(len(key), 8) {
		key[i] = byte(n >> (8 * i))
	}
	return key, nil
}

// textKey is text as a key, filled up with zeros.
func textKey(text string, size uint32) ([]byte, error) {
	if len(text) > int(size) {
		return nil, fmt.Errorf("%q does not fit a key of %d bytes", text, size)
	}
	key := make([]byte, size)
	copy(key, text)
	return key, nil
}

// logText is the text of a logpoint: expressions stand in braces.
type logText struct {
	parts []string // text, expression, text, ...
	exprs []*expr
}

func parseLog(text string) (*logText, error) {
	l := &logText{}
	for {
		before, rest, ok := strings.Cut(text, "{")
		l.parts = append(l.parts, before)
		if !ok {
			return l, nil
		}
		inside, after, ok := strings.Cut(rest, "}")
		if !ok {
			return nil, fmt.Errorf("log %q: no closing brace", text)
		}
		x, err := parseExpr(inside)
		if err != nil {
			return nil, fmt.Errorf("log {%s}: %w", inside, err)
		}
		l.exprs = append(l.exprs, x)
		text = after
	}
}

func (l *logText) text(p *Point) string {
	var b strings.Builder
	for i, part := range l.parts {
		b.WriteString(part)
		if i == len(l.exprs) {
			break
		}
		if v, err := l.exprs[i].eval(p); err != nil {
			b.WriteString("?")
		} else {
			b.WriteString(number(v.n))
		}
	}
	return b.String()
}
