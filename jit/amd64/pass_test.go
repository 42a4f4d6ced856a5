package amd64

import (
	"regexp"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
	"bpfvm/vm/layout"
)

func TestParsePasses(t *testing.T) {
	for _, c := range []struct {
		list string
		want Pass
		err  string
	}{
		{"all", AllPasses, ""},
		{"none", 0, ""},
		{"proven", PassProven, ""},
		{"proven, known", PassProven | PassKnown, ""},
		{"all,-proven", AllPasses &^ PassProven, ""},
		{"warp", 0, `no pass is called "warp"`},
		{"", 0, `no pass is called ""`},
	} {
		got, err := ParsePasses(c.list)
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%q: error %v, want %q", c.list, err, c.err)
		}
		if err == nil && got != c.want {
			t.Errorf("%q: %v, want %v", c.list, got, c.want)
		}
	}
	for _, p := range []Pass{0, AllPasses, PassProven, PassKnown, AllPasses &^ PassKnown} {
		if again, err := ParsePasses(p.String()); err != nil || again != p {
			t.Errorf("%v comes back as %v, %v", p, again, err)
		}
	}
	if len(Passes()) != len(passes) || 1<<len(passes)-1 != AllPasses {
		t.Error("the list of passes and their numbers do not agree")
	}
}

// x86Of returns the machine code of a slot, one instruction a line.
func x86Of(t *testing.T, code *vm.Code, opt Options, slots ...int) string {
	t.Helper()
	p, err := Compile(code, opt)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := p.Listing(isa.Printer{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range lines {
		for _, s := range slots {
			if int(l.PC) == s {
				for _, x := range l.X86 {
					b.WriteString(x.Text + "\n")
				}
			}
		}
	}
	return b.String()
}

// What the passes "proven" and "known" leave of an access.
func TestAccessPasses(t *testing.T) {
	for _, c := range []struct {
		name, src string
		slot      int
		proven    bool
		off       Pass
		want      string
	}{
		{name: "proven", src: "r0 = *(u32 *)(r1 +4)\n exit", proven: true,
			want: "mov r10d, edi\nmov eax, dword ptr [r12+r10+0x4]\n"},
		{name: "switched off", src: "r0 = *(u32 *)(r1 +0)\n exit", proven: true, off: PassProven,
			want: "cmp rdi, 0x7ffdfff9\njnb refused\n"},
		{name: "not proven", src: "r0 = *(u32 *)(r1 +0)\n exit",
			want: "cmp rdi, 0x7ffdfff9\njnb refused\n"},
		{name: "loaded with 4 bytes", src: "r2 = *(u32 *)(r10 -4)\n r0 = *(u8 *)(r2 +14)\n exit", slot: 1, proven: true,
			want: "movzx eax, byte ptr [r12+rsi+0xe]\n"},
		{name: "loaded with 4 bytes, known off", src: "r2 = *(u32 *)(r10 -4)\n r0 = *(u8 *)(r2 +14)\n exit", slot: 1, proven: true, off: PassKnown,
			want: "mov r10d, esi\nmovzx eax, byte ptr [r12+r10+0xe]\n"},
		{name: "loaded with 8 bytes", src: "r2 = *(u64 *)(r10 -8)\n r0 = *(u8 *)(r2 +14)\n exit", slot: 1, proven: true,
			want: "mov r10d, esi\nmovzx eax, byte ptr [r12+r10+0xe]\n"},
		{name: "twice the same", src: "r0 = *(u8 *)(r1 +0)\n r2 = *(u8 *)(r1 +1)\n exit", slot: 1, proven: true,
			want: "movzx esi, byte ptr [r12+r10+0x1]\n"},
		{name: "written in between", src: "r0 = *(u8 *)(r1 +0)\n r1 += r0\n r2 = *(u8 *)(r1 +1)\n exit", slot: 2, proven: true,
			want: "mov r11d, edi\nmovzx esi, byte ptr [r12+r11+0x1]\n"},
		{name: "jumped to", src: "r0 = *(u8 *)(r1 +0)\n if r0 > 1 goto pc+0\n r2 = *(u8 *)(r1 +1)\n exit", slot: 2, proven: true,
			want: "mov r10d, edi\nmovzx esi, byte ptr [r12+r10+0x1]\n"},
		{name: "copy of R10, nothing proven", src: "r2 = r10\n r2 += -16\n *(u64 *)(r2 +8) = r0\n exit", slot: 2,
			want: "mov qword ptr [r12+rsi+0x8], rax\n"},
		{name: "index in the frame", src: "r2 &= 7\n r3 = r10\n r3 += -8\n r3 += r2\n *(u8 *)(r3 +0) = 1\n exit", slot: 4,
			want: "mov byte ptr [r12+rdx], 0x1\n"},
		{name: "one byte above the frame", src: "r2 &= 8\n r3 = r10\n r3 += -8\n r3 += r2\n *(u8 *)(r3 +0) = 1\n exit", slot: 4,
			want: "cmp rdx, 0x7ffdfff9\njnb refused\n"},
		{name: "bounded by a jump", src: "if r1 > 100 goto pc+2\n r1 += 4\n r0 = *(u8 *)(r1 +0)\n exit", slot: 2, proven: true,
			want: "movzx eax, byte ptr [r12+rdi]\n"},
		{name: "bounded on the other way", src: "if r1 > 100 goto pc+1\n exit\n r0 = *(u8 *)(r1 +0)\n exit", slot: 2, proven: true,
			want: "mov r10d, edi\nmovzx eax, byte ptr [r12+r10]\n"},
		{name: "behind a call", src: "w6 = w1\n call 9001\n r0 = *(u8 *)(r6 +0)\n exit", slot: 2, proven: true,
			want: "movzx eax, byte ptr [r12+rbx]\n"},
		{name: "destroyed by a call", src: "w1 = w1\n call 9001\n r0 = *(u8 *)(r1 +0)\n exit", slot: 2, proven: true,
			want: "mov r10d, edi\nmovzx eax, byte ptr [r12+r10]\n"},
	} {
		code := withHelpers(assemble(t, c.src))
		if c.proven {
			code.Facts = lies(code.Insns)
		}
		got := x86Of(t, code, Options{Off: c.off}, c.slot)
		got = regexp.MustCompile(`jnb 0x[0-9a-f]+`).ReplaceAllString(got, "jnb refused")
		if lines := strings.SplitAfter(got, "\n"); strings.Count(c.want, "\n") < len(lines)-1 && strings.HasPrefix(c.want, "cmp") {
			got = strings.Join(lines[:2], "")
		}
		if got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// The other passes, each beside what it must leave alone.
func TestOtherPasses(t *testing.T) {
	counts := layout.Array{Base: 0x12010, Stride: 16, Count: 5, CPUs: 1}
	perCPU := layout.Array{Base: 0x13000, Stride: 24, Count: 5, CPUs: 2, Distance: 0x90}
	lookup := &vm.Helper{Op: vm.OpMapLookup, Proto: spec.HelperByName("bpf_map_lookup_elem")}
	const key = "*(u32 *)(r10 -4) = 1\n r2 = r10\n r2 += -4\n "
	const noPoison = "cmp eax, 0x5\njnb refused\nshl eax, 0x4\nadd eax, 0x12010\n"
	for _, c := range []struct {
		name, src string
		slot      int
		off       Pass
		want      string
	}{
		{name: "inline: key in the frame", src: key + "r1 = 0x5000 ll\n call 1\n exit", slot: 5,
			want: "mov eax, dword ptr [r12+rbp-0x4]\n" + noPoison + "xor eax, eax\njmp back\n"},
		{name: "inline: of a CPU", src: key + "r1 = 0x6000 ll\n call 1\n exit", slot: 5,
			want: "mov eax, dword ptr [r12+rbp-0x4]\ncmp eax, 0x5\njnb refused\nimul eax, eax, 0x18\n" +
				"mov r10, rsp\nor r10, 0x3fff\nmov r10d, dword ptr [r10+0xfffff0a9]\ncmp r10d, 0x2\njnb refused\nimul r10d, r10d, 0x90\nadd eax, r10d\nadd eax, 0x13000\n" +
				"xor eax, eax\njmp back\nxor eax, eax\njmp back\n"},
		{name: "inline: another map", src: key + "r1 = 0x5008 ll\n call 1\n exit", slot: 5, want: "mov r10d, 0x1000005\ncall away\n"},
		{name: "inline: the map is not known", src: key + "r1 = *(u64 *)(r10 -16)\n call 1\n exit", slot: 4, want: "mov r10d, 0x1000004\ncall away\n"},
		{name: "inline: off", src: key + "r1 = 0x5000 ll\n call 1\n exit", slot: 5, off: PassInline, want: "mov r10d, 0x1000005\ncall away\n"},
		{name: "dead: overwritten", src: "r1 = 5\n r1 = 6\n r0 = r1\n exit", slot: 0, want: ""},
		{name: "dead: off", src: "r1 = 5\n r1 = 6\n r0 = r1\n exit", slot: 0, off: PassDead, want: "mov edi, 0x5\n"},
		{name: "dead: read by what is dead", src: "r1 = 5\n r2 = r1\n r0 = 0\n exit", slot: 0, want: ""},
		{name: "dead: read on one of two ways", src: "r2 = 5\n if r1 > 3 goto pc+2\n r0 = r2\n exit\n r0 = 0\n exit", slot: 0, want: "mov esi, 0x5\n"},
		{name: "dead: read in the next round", src: "r2 = 5\n r0 = 0\n r0 += r2\n r2 = 6\n if r0 < 100 goto pc-3\n exit", slot: 3, want: "mov esi, 0x6\n"},
		{name: "dead: an argument", src: "r1 = 5\n call 9001\n exit", slot: 0, want: "mov edi, 0x5\n"},
		{name: "dead: a store stays", src: "*(u64 *)(r10 -8) = 5\n r0 = 0\n exit", slot: 0, want: "mov qword ptr [r12+rbp-0x8], 0x5\n"},
		{name: "join: number", src: "r3 = r1\n r3 += 14\n r0 = r3\n exit", slot: 0, want: "lea rdx, ptr [rdi+0xe]\n"},
		{name: "join: register", src: "r0 = r1\n r0 += r2\n exit", slot: 0, want: "lea rax, ptr [rdi+rsi]\n"},
		{name: "join: twice", src: "r0 = r1\n r0 += r0\n exit", slot: 0, want: "lea rax, ptr [rdi+rdi]\n"},
		{name: "join: mask", src: "w0 = w1\n w0 &= 65535\n exit", slot: 0, want: "movzx eax, di\n"},
		{name: "join: byte", src: "r0 = r1\n r0 &= 255\n exit", slot: 0, want: "movzx eax, dil\n"},
		{name: "join: other mask", src: "w0 = w1\n w0 &= 4095\n exit", slot: 0, want: "mov eax, edi\n"},
		{name: "join: 32 bits", src: "w0 = w1\n w0 += 5\n exit", slot: 0, want: "mov eax, edi\n"},
		{name: "join: another register", src: "r2 = r1\n r0 += 5\n r0 += r2\n exit", slot: 0, want: "mov rsi, rdi\n"},
		{name: "join: a jump leads in between", src: "if r1 > 5 goto pc+1\n r0 = r1\n r0 += 5\n exit", slot: 1, want: "mov rax, rdi\n"},
		{name: "rotate: in place", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 3, want: "rol edi, 0xd\n"},
		{name: "rotate: the shifts are gone", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 2, want: ""},
		{name: "rotate: and the copy", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 0, want: ""},
		{name: "rotate: two copies, the other way round", src: "r2 = r1\n r2 <<= 16\n r3 = r1\n r3 >>= 48\n r3 += r2\n r0 = r3\n r0 += r1\n exit", slot: 4, want: "rol rdx, 0x10\n"},
		{name: "rotate: copies of copies", src: "r4 = r1\n r2 = r4\n r2 <<= 16\n r3 = r1\n r3 >>= 48\n r3 ^= r2\n r0 = r3\n exit", slot: 5, want: "rol rdx, 0x10\n"},
		{name: "rotate: the other half is needed", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n r0 += r2\n exit", slot: 1, want: "shr esi, 0x13\n"},
		{name: "rotate: not all bits", src: "w2 = w1\n w2 >>= 18\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 3, want: "or edi, esi\n"},
		{name: "rotate: 64 bits shifted by 32 together", src: "r2 = r1\n r2 >>= 19\n r1 <<= 13\n r1 |= r2\n r0 = r1\n exit", slot: 3, want: "or rdi, rsi\n"},
		{name: "rotate: two values", src: "w2 = w3\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 3, want: "or edi, esi\n"},
		{name: "rotate: changed in between", src: "w2 = w1\n w1 += 1\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 4, want: "or edi, esi\n"},
		{name: "rotate: half of a 64-bit value", src: "w2 = w1\n r2 >>= 48\n r1 <<= 16\n r1 |= r2\n r0 = r1\n exit", slot: 3, want: "or rdi, rsi\n"},
		{name: "rotate: arithmetic shift", src: "w2 = w1\n w2 s>>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 3, want: "or edi, esi\n"},
		{name: "rotate: and", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n w1 &= w2\n r0 = r1\n exit", slot: 3, want: "and edi, esi\n"},
		{name: "rotate: somebody looks", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n r3 = r1\n w1 |= w2\n r0 = r1\n r0 += r3\n exit", slot: 4, want: "or edi, esi\n"},
		{name: "rotate: a jump leads in between", src: "if r1 > 5 goto pc+2\n w2 = w1\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 4, want: "or edi, esi\n"},
		{name: "rotate: a store in between", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n *(u64 *)(r10 -8) = 0\n w1 |= w2\n r0 = r1\n exit", slot: 4, want: "or edi, esi\n"},
		{name: "rotate: off", src: "w2 = w1\n w2 >>= 19\n w1 <<= 13\n w1 |= w2\n r0 = r1\n exit", slot: 3, off: PassRotate, want: "or edi, esi\n"},
		{name: "join: off", src: "r0 = r1\n r0 += r2\n exit", slot: 0, off: PassJoin, want: "mov rax, rdi\n"},
	} {
		code := withHelpers(assemble(t, c.src))
		code.Helpers[1] = lookup
		code.Arrays = map[uint64]layout.Array{0x5000: counts, 0x6000: perCPU}
		got := x86Of(t, code, Options{Off: c.off}, c.slot)
		for re, with := range map[string]string{`jnb 0x[0-9a-f]+`: "jnb refused", `call 0x[0-9a-f]+`: "call away", `jmp 0x[0-9a-f]+`: "jmp back"} {
			got = regexp.MustCompile(re).ReplaceAllString(got, with)
		}
		if got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}
