package isa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecode takes bytes through decoding, judging, printing and assembling. The
// slots that come out are those that went in, legal or not.
func FuzzDecode(f *testing.F) {
	for _, op := range Ops() {
		for p := range op.Forms() {
			f.Add(Encode(p))
			break
		}
	}
	f.Add([]byte{0x18, 1, 0, 0, 5, 0, 0, 0, 0xb7, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b[:len(b)&^7])
		if err != nil {
			t.Fatal(err)
		}
		if got := Encode(p); string(got) != string(b[:len(b)&^7]) {
			t.Fatalf("encodes to %x", got)
		}
		legal := p.Check() == nil
		for _, pr := range []Printer{{}, {Slots: true, Opcodes: true}} {
			var text strings.Builder
			if err := Disassemble(&text, p, pr); err != nil {
				t.Fatal(err)
			}
			if legal && strings.Contains(text.String(), ".insn") {
				t.Fatalf("legal, but printed as raw slots:\n%s", &text)
			}
			back, err := AssembleProgram(text.String())
			if err != nil {
				t.Fatalf("%v in its own text:\n%s", err, &text)
			}
			if len(p)+len(back) > 0 && cmp.Diff(p, back) != "" {
				t.Fatalf("other slots (-want +got):\n%s\n%s", cmp.Diff(p, back), &text)
			}
		}
	})
}

// FuzzAssemble has any text. It assembles or gives an error, never both; what
// assembles prints, as instructions and as a unit, and assembles back.
func FuzzAssemble(f *testing.F) {
	f.Add(strings.Replace(unitSource, "exit_is_elsewhere:", "", 1))
	f.Add("0: (b7) r0 = 0\n1: (95) exit")
	f.Add("a: if r1 s> -5 goto a\ncall pc-1\nr1 = func[+2]\n.insn 0x18, 1, 0, 0, 5\n.func x\n.insn 0,0,0,0,0")
	f.Add("alone:")
	f.Add(".section \"a\\\"b;c\"\n.func \"pc\"\ncall \"pc\"\n.map \"=\" type=\"x y\"\nr1 = map[\"=\"][0]+1")
	for op := range LegalForms() {
		f.Add(op.Syntax)
	}
	f.Fuzz(func(t *testing.T, src string) {
		u, err := Assemble("", []byte(src), testOptions)
		if (err == nil) == (u == nil) {
			t.Fatalf("unit %v and error %v", u, err)
		}
		if err != nil {
			return
		}
		for _, s := range u.Sections {
			if len(s.Lines) != len(s.Insns) {
				t.Fatalf("%d lines for %d slots", len(s.Lines), len(s.Insns))
			}
			back, err := AssembleProgram(text(t, s.Insns))
			if err != nil {
				t.Fatalf("%v in:\n%s", err, text(t, s.Insns))
			}
			if len(back)+len(s.Insns) > 0 && cmp.Diff(s.Insns, back) != "" {
				t.Fatalf("other slots (-want +got):\n%s", cmp.Diff(s.Insns, back))
			}
		}
		formatted := formatUnit(t, u)
		again, err := Assemble("", []byte(formatted), testOptions)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, formatted)
		}
		if diff := cmp.Diff(u, again, ignoreLines); diff != "" {
			t.Fatalf("other unit (-want +got):\n%s\nfrom:\n%s", diff, formatted)
		}
	})
}
