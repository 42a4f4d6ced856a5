package runtime_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestStrtolLikeKernel(t *testing.T) {
	texts := []string{
		"0", "1", "42 rest", "  \t\n7", "-1", "- 1", "--1", "+1", "", " ", "-", "0x1f", "0X1F", "0x", "0xg", "x1", "010", "08", "0b1",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615",
		"18446744073709551616", "99999999999999999999999", "0x8000000000000000", "0xffffffffffffffff", "0x10000000000000000",
		strings.Repeat("0", 62) + "12", strings.Repeat("0", 70) + "5", strings.Repeat(" ", 70) + "5", "1\x002", "0777777777777777777777", "0xAbC", "abc", "\xa0\x0b5",
	}
	var cases []helperCase
	for _, helper := range []string{"bpf_strtol", "bpf_strtoul"} {
		for _, base := range []int{0, 8, 10, 16, 2, 32, 64} {
			var data strings.Builder
			var steps []string
			off := 0
			for _, s := range texts {
				for i := range len(s) {
					fmt.Fprintf(&data, "%d, ", s[i])
				}
				data.WriteString("0, ")
				steps = append(steps, fmt.Sprintf("\tr1 = data[text]+%d\n\tr2 = %d\n\tr3 = %d\n\tr4 = r10\n\tr4 += -24\n\tcall %s", off, len(s)+1, base, helper), "\tr0 = *(u64 *)(r10 -24)")
				off += len(s) + 1
			}
			head := ".rodata text " + strings.TrimSuffix(data.String(), ", ")
			for i := 0; i < len(steps); i += 40 {
				part := steps[i:min(i+40, len(steps))]
				cases = append(cases, helperCase{fmt.Sprintf("%s_%d_%d", helper, base, i), packetProg("xdp", head, part...), [][]byte{eth(64)}})
			}
		}
	}
	runCases(t, cases)
}
