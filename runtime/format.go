package runtime

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"bpfvm/spec"
)

// Limits of bpf_bprintf_prepare (kernel/bpf/helpers.c and include/linux/bpf.h).
const (
	maxPrintkArgs   = 3         // MAX_TRACE_PRINTK_VARARGS
	maxBprintfArgs  = 12        // MAX_BPRINTF_VARARGS
	maxBprintfBuf   = 1024      // MAX_BPRINTF_BUF
	maxBprintfWords = 512       // MAX_BPRINTF_BIN_ARGS, bytes for copied arguments
	maxFieldWidth   = 1<<23 - 1 // FIELD_WIDTH_MAX (lib/vsprintf.c)
)

// bprintf formats as the helpers with a format string do (kernel/bpf/helpers.c,
// bpf_bprintf_prepare). It knows
//
//	%d %i %u %x %X  with l or ll        numbers
//	%c %s %pks %pus                     a character; strings in the kernel and in user space
//	%p %pK %px %pB %ps %pS              addresses
//	%pi4 %pI4 %pi6 %pI6                 IP addresses in memory
//
// with the flags 0, +, - and space and a width, but no precision. Anything else is
// EINVAL before a byte is printed. The text may be longer than the buffer of 1024
// bytes: it is cut, and n is the full length as in vsnprintf.
func (e *Env) bprintf(format []byte, args []uint64) (out string, n int, errno spec.Errno) {
	before, _, ok := bytes.Cut(format, []byte{0})
	if !ok {
		return "", 0, spec.EINVAL
	}
	p := printer{e: e, f: string(before), args: args}
	if errno := p.run(); errno != 0 {
		return "", 0, errno
	}
	return p.out.String(), p.n, 0
}

// printer is one formatting under way.
type printer struct {
	e    *Env
	f    string
	i    int
	args []uint64
	used int // arguments consumed
	bin  int // bytes of the argument buffer consumed
	out  strings.Builder
	n    int // length of the whole text; out holds what fits the buffer
}

// put appends text, as far as it fits.
func (p *printer) put(s string) {
	p.n += len(s)
	p.out.WriteString(s[:min(len(s), maxBprintfBuf-1-p.out.Len())])
}

// repeat appends a character n times.
func (p *printer) repeat(c string, n int) {
	fits := min(n, maxBprintfBuf-1-p.out.Len())
	p.put(strings.Repeat(c, fits))
	p.n += n - fits
}

// at returns a byte of the format, 0 behind its end.
func (p *printer) at(i int) byte {
	if i < len(p.f) {
		return p.f[i]
	}
	return 0
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isPunct(c byte) bool {
	return c > ' ' && c < 0x7f && !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z')
}

// endsSpec reports whether a plain %p or %s may end before the byte.
func endsSpec(c byte) bool { return c == 0 || isSpace(c) || isPunct(c) }

func (p *printer) run() spec.Errno {
	for ; p.i < len(p.f); p.i++ {
		c := p.f[p.i]
		switch {
		case c < 0x80 && (c < ' ' || c == 0x7f) && !isSpace(c):
			return spec.EINVAL
		case c != '%':
			p.put(p.f[p.i : p.i+1])
		case p.at(p.i+1) == '%':
			p.put("%")
			p.i++
		case p.used >= len(p.args):
			return spec.EINVAL
		default:
			if errno := p.spec(); errno != 0 {
				return errno
			}
		}
	}
	return 0
}

// take consumes an argument of which the kernel copies so many bytes.
func (p *printer) take(bytes int) (uint64, spec.Errno) {
	if bytes >= 4 {
		p.bin = (p.bin + 3) &^ 3
	}
	if p.bin+bytes > maxBprintfWords {
		return 0, spec.ENOSPC
	}
	p.bin += bytes
	p.used++
	return p.args[p.used-1], 0
}

// flags of a conversion.
type convFlags struct {
	zero, plus, minus, space bool
	width                    int
}

// spec formats one conversion; p.i is on its % and ends on its last byte.
func (p *printer) spec() spec.Errno {
	var fl convFlags
	p.i++
	for ; strings.IndexByte("0+- ", p.at(p.i)) >= 0 && p.at(p.i) != 0; p.i++ {
		switch p.f[p.i] {
		case '0':
			fl.zero = true
		case '+':
			fl.plus = true
		case '-':
			fl.minus = true
		case ' ':
			fl.space = true
		}
	}
	width := int32(0) // wraps as the kernel's int does (lib/vsprintf.c, skip_atoi)
	for c := p.at(p.i); c >= '0' && c <= '9'; c = p.at(p.i) {
		width = width*10 + int32(c-'0')
		p.i++
	}
	fl.width = int(min(width, maxFieldWidth))
	switch p.at(p.i) {
	case 'p':
		return p.pointer(fl)
	case 's':
		return p.str(fl, anySpace)
	case 'c':
		v, errno := p.take(1)
		if errno == 0 {
			p.pad(string([]byte{byte(v)}), fl, false)
		}
		return errno
	}
	return p.number(fl)
}

func (p *printer) number(fl convFlags) spec.Errno {
	size := 4
	for p.at(p.i) == 'l' && size < 16 {
		size = max(8, size*2) // l and ll are both 8 bytes; a third l is not allowed
		p.i++
	}
	conv := p.at(p.i)
	if strings.IndexByte("iduxX", conv) < 0 || conv == 0 {
		return spec.EINVAL
	}
	v, errno := p.take(min(size, 8))
	if errno != 0 {
		return errno
	}
	var s string
	switch conv {
	case 'd', 'i':
		n := int64(v)
		if size == 4 {
			n = int64(int32(v))
		}
		s = strconv.FormatInt(n, 10)
		switch {
		case n >= 0 && fl.plus:
			s = "+" + s
		case n >= 0 && fl.space:
			s = " " + s
		}
	default:
		if size == 4 {
			v = uint64(uint32(v))
		}
		base := 16
		if conv == 'u' {
			base = 10
		}
		s = strconv.FormatUint(v, base)
		if conv == 'X' {
			s = strings.ToUpper(s)
		}
	}
	p.pad(s, fl, true)
	return 0
}

func (p *printer) pointer(fl convFlags) spec.Errno {
	next, after := p.at(p.i+1), p.at(p.i+2)
	switch {
	case endsSpec(next), next == 'K', next == 'x':
		v, errno := p.take(8)
		if errno != 0 {
			return errno
		}
		if !endsSpec(next) {
			p.i++
			p.extension()
		}
		p.address(v, fl)
		return 0
	case (next == 'k' || next == 'u') && after == 's':
		p.i += 2
		where := kernelSpace
		if next == 'u' {
			where = userSpace
		}
		return p.str(fl, where)
	case next == 'B' || next == 's' || next == 'S':
		// Symbols: there is no symbol table here, and the kernel prints addresses
		// that it does not know as numbers.
		v, errno := p.take(8)
		if errno != 0 {
			return errno
		}
		p.i++
		p.extension()
		p.pad(fmt.Sprintf("0x%x", v), fl, false)
		return 0
	case (next == 'i' || next == 'I') && (after == '4' || after == '6'):
		return p.ip(fl, next, after)
	}
	return spec.EINVAL
}

// address prints %p, %pK and %px. The kernel prints %p as a hash, so that
// addresses do not leak; here, where nothing is secret, it is the address.
func (p *printer) address(v uint64, fl convFlags) {
	if fl.width == 0 {
		fl.width, fl.zero = 16, true
	}
	p.pad(strconv.FormatUint(v, 16), fl, true)
}

func (p *printer) str(fl convFlags, where space) spec.Errno {
	if !endsSpec(p.at(p.i + 1)) {
		return spec.EINVAL
	}
	room := maxBprintfWords - p.bin
	if room == 0 {
		return spec.ENOSPC
	}
	buf := make([]byte, room)
	n := p.e.probeStr(buf, p.args[p.used], where)
	if int64(n) < 0 {
		n = 1 // an empty string
	}
	p.used++
	p.bin += int(n)
	p.pad(string(buf[:n-1]), fl, false)
	return 0
}

func (p *printer) ip(fl convFlags, style, family byte) spec.Errno {
	p.i += 2
	p.extension()
	b := make([]byte, 4)
	if family == '6' {
		b = make([]byte, 16)
	}
	if len(b) > maxBprintfWords-p.bin {
		return spec.ENOSPC
	}
	p.e.probeRead(b, p.args[p.used], anySpace) // what is not there reads as zero
	p.used++
	s := formatIP(b, style)
	p.bin += len(s) + 1
	p.pad(s, fl, false)
	return 0
}

// formatIP prints %pI4 1.2.3.4, %pi4 001.002.003.004, %pI6 with colons and %pi6
// without (lib/vsprintf.c, ip4_string and ip6_string).
func formatIP(b []byte, style byte) string {
	if len(b) == 4 {
		if style == 'i' {
			return fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3])
		}
		return netip.AddrFrom4([4]byte(b)).String()
	}
	var s strings.Builder
	for i := 0; i < 16; i += 2 {
		if style == 'I' && i > 0 {
			s.WriteByte(':')
		}
		fmt.Fprintf(&s, "%02x%02x", b[i], b[i+1])
	}
	return s.String()
}

// pad writes a conversion with its width.
func (p *printer) pad(s string, fl convFlags, number bool) {
	n := max(fl.width-len(s), 0)
	switch {
	case fl.minus:
		p.put(s)
		p.repeat(" ", n)
		return
	case fl.zero && number:
		sign := 0
		if s[0] == '-' || s[0] == '+' || s[0] == ' ' {
			sign = 1
		}
		p.put(s[:sign])
		p.repeat("0", n)
		s = s[sign:]
	default:
		p.repeat(" ", n)
	}
	p.put(s)
}

// extension skips what follows a %p with an extension: the kernel takes all
// letters and digits there as part of it (lib/vsprintf.c, vsnprintf).
func (p *printer) extension() {
	for c := p.at(p.i + 1); c != 0 && !isSpace(c) && !isPunct(c) && c < 0x80; c = p.at(p.i + 1) {
		p.i++
	}
}
