package amd64

import (
	"fmt"

	"golang.org/x/arch/x86/x86asm"
)

// endbr64 marks where indirect calls may land. The decoder knows it as a prefix
// and a nop (Intel SDM, volume 2A, ENDBR64).
var endbr64 = [4]byte{0xf3, 0x0f, 0x1e, 0xfa}

// Disassemble lists machine code that was not made here, such as the kernel's own
// image of a program. addr is the address of its first byte and becomes Addr of the
// first line. What is no instruction comes out byte by byte as ".byte".
func Disassemble(code []byte, addr uint64) []X86 {
	var out []X86
	for at := 0; at < len(code); {
		n, text := 1, fmt.Sprintf(".byte %#02x", code[at])
		if len(code)-at >= 4 && [4]byte(code[at:at+4]) == endbr64 {
			n, text = 4, "endbr64"
		} else if ins, err := x86asm.Decode(code[at:], 64); err == nil && ins.Len > 0 {
			n, text = ins.Len, x86asm.IntelSyntax(ins, addr+uint64(at), nil)
		}
		out = append(out, X86{Addr: at, Bytes: code[at : at+n : at+n], Text: text})
		at += n
	}
	return out
}
