package isa

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestLLVM gives the text of every legal form to LLVM's assembler and compares
// the bytes. LLVM rejects what it spells in its own way (most atomics, map and
// function references) or does not know; that is no fault. It must agree on the
// rest.
func TestLLVM(t *testing.T) {
	var mc string
	for _, name := range []string{"llvm-mc-21", "llvm-mc-20", "llvm-mc-19", "llvm-mc-18", "llvm-mc"} {
		probe := exec.Command(name, "-triple=bpf", "-mcpu=v4")
		probe.Stdin = strings.NewReader("r0 = bswap16 r0\n")
		if probe.Run() == nil {
			mc = name
			break
		}
	}
	if mc == "" {
		t.Skip("no llvm-mc with a BPF target that knows -mcpu=v4")
	}
	// What is written alike and means something else: LLVM's "call -5" is a
	// helper, its "call kfunc" a symbol.
	skip := map[string]bool{"call_local": true, "call_kfunc": true}
	respell := strings.NewReplacer("pc+", "+", "pc-", "-", "helper#", "")
	var src, names, want []string
	for op, p := range LegalForms() {
		if !skip[op.Name] {
			names = append(names, op.Name)
			src = append(src, respell.Replace((&Printer{}).Insn(p, 0)))
			want = append(want, fmt.Sprintf("%x", Encode(p)))
		}
	}
	cmd := exec.Command(mc, "-triple=bpf", "-mcpu=v4", "-show-encoding")
	cmd.Stdin = strings.NewReader(strings.Join(src, "\n") + "\n")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output() // fails for the lines that it rejects
	rejected := map[int]bool{}
	for _, m := range regexp.MustCompile(`(?m)^<stdin>:(\d+):\d+: error: `).FindAllStringSubmatch(stderr.String(), -1) {
		var line int
		fmt.Sscan(m[1], &line)
		rejected[line-1] = true
	}
	encodings := regexp.MustCompile(`encoding: \[(.*?)\]`).FindAllStringSubmatch(string(out), -1)
	if len(encodings)+len(rejected) != len(src) {
		t.Fatalf("%d lines, %d encoded, %d rejected (%v)", len(src), len(encodings), len(rejected), err)
	}
	agreed := map[string]bool{}
	for i := range src {
		if rejected[i] {
			continue
		}
		got := strings.NewReplacer("0x", "", ",", "").Replace(encodings[0][1])
		encodings = encodings[1:]
		if got != want[i] {
			t.Fatalf("%s: %q is %s to us and %s to LLVM", names[i], src[i], want[i], got)
		}
		agreed[names[i]] = true
	}
	t.Logf("%d of %d instructions of %d forms agree", len(src)-len(rejected), len(src), len(agreed))
	if len(agreed) < 140 {
		t.Errorf("only %d forms were compared", len(agreed))
	}
}
