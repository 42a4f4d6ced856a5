package amd64

import (
	"fmt"
	"strings"
	"testing"
)

func TestDisassemble(t *testing.T) {
	code := []byte{0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0xb8, 2, 0, 0, 0, 0xc9, 0xc3, 0x06}
	var got []string
	for _, x := range Disassemble(code, 0x1000) {
		got = append(got, fmt.Sprintf("%d %s", x.Addr, x.Text))
	}
	want := "0 endbr64|4 push rbp|5 mov rbp, rsp|8 mov eax, 0x2|13 leave|14 ret|15 .byte 0x06"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}
