package amd64

import (
	"regexp"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/vm"
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
