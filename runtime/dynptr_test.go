package runtime_test

import (
	"fmt"
	"testing"
)

// Steps on the dynptr at r10-32, with room for data at r10-96.

func dynFromMem(size, flags int) string {
	return fmt.Sprintf("\tr1 = data[buf]\n\tr2 = %d\n\tr3 = %d\n\tr4 = r10\n\tr4 += -32\n\tcall bpf_dynptr_from_mem", size, flags)
}

func dynFromPacket(kind string, flags int) string {
	return fmt.Sprintf("\tr1 = r6\n\tr2 = %d\n\tr3 = r10\n\tr3 += -32\n\tcall kfunc bpf_dynptr_from_%s", flags, kind)
}

func dynRead(size, off, flags int) string {
	return fmt.Sprintf("\tr1 = 0\n\t*(u64 *)(r10 -96) = r1\n\tr1 = r10\n\tr1 += -96\n\tr2 = %d\n\tr3 = r10\n\tr3 += -32\n\tr4 = %#x ll\n\tr5 = %d\n\tcall bpf_dynptr_read", size, uint64(uint32(off)), flags)
}

func dynGot() string { return "\tr0 = *(u64 *)(r10 -96)" }

func dynWrite(off, size, flags int) string {
	return fmt.Sprintf("\tr1 = 0x1122334455667788 ll\n\t*(u64 *)(r10 -96) = r1\n\tr1 = r10\n\tr1 += -32\n\tr2 = %d\n\tr3 = r10\n\tr3 += -96\n\tr4 = %d\n\tr5 = %d\n\tcall bpf_dynptr_write", off, size, flags)
}

var dynLabel int

// dynLoad loads 4 bytes through what a call has given, or says -1.
func dynLoad(call string) string {
	dynLabel++
	return fmt.Sprintf("%s\n\tif r0 == 0 goto none%d\n\tr0 = *(u32 *)(r0 +0)\n\tgoto done%d\nnone%d:\n\tr0 = -1\ndone%d:", call, dynLabel, dynLabel, dynLabel, dynLabel)
}

func dynData(off, size int) string {
	return dynLoad(fmt.Sprintf("\tr1 = r10\n\tr1 += -32\n\tr2 = %d\n\tr3 = %d\n\tcall bpf_dynptr_data", off, size))
}

func dynSlice(kind string, off, size int, buffer bool) string {
	ptr := "r3 = 0"
	if buffer {
		ptr = "r3 = 0\n\t*(u64 *)(r10 -96) = r3\n\t*(u64 *)(r10 -88) = r3\n\tr3 = r10\n\tr3 += -96"
	}
	return dynLoad(fmt.Sprintf("\tr1 = r10\n\tr1 += -32\n\tr2 = %d\n\t%s\n\tr4 = %d\n\tcall kfunc bpf_dynptr_slice%s", off, ptr, size, kind))
}

func dynAdjust(from, to int) string {
	return fmt.Sprintf("\tr1 = r10\n\tr1 += -32\n\tr2 = %d\n\tr3 = %d\n\tcall kfunc bpf_dynptr_adjust", from, to)
}

func dynAsk(what string) string { return "\tr1 = r10\n\tr1 += -32\n\tcall kfunc bpf_dynptr_" + what }

func dynSteps(make string) []string {
	steps := []string{make}
	for _, what := range []string{"size", "is_null", "is_rdonly"} {
		steps = append(steps, dynAsk(what))
	}
	return append(steps,
		dynRead(8, 0, 0), dynGot(), dynRead(8, 5, 0), dynGot(), dynRead(4, 60, 0), dynGot(), dynRead(5, 60, 0), dynRead(8, 57, 0), dynRead(8, -1, 0), dynRead(8, 0, 1), dynRead(0, 64, 0)[:0]+"\tr0 = 0",
		dynWrite(3, 8, 0), dynWrite(57, 8, 0), dynWrite(63, 1, 0), dynWrite(0, 8, 1), dynWrite(0, 8, 4), dynRead(8, 3, 0), dynGot(),
		dynAdjust(4, 40), dynAsk("size"), dynRead(8, 0, 0), dynGot(), dynRead(8, 32, 0), dynAdjust(5, 4), dynAdjust(0, 37), dynAdjust(37, 37), dynAdjust(36, 36), dynAsk("size"), dynRead(1, 0, 0),
		"\tr1 = r10\n\tr1 += -32\n\tr2 = r10\n\tr2 += -64\n\tcall kfunc bpf_dynptr_clone",
		"\tr1 = r10\n\tr1 += -64\n\tcall kfunc bpf_dynptr_size",
	)
}

func TestDynptrsLikeKernel(t *testing.T) {
	var cases []helperCase
	head := ".bss buf\n.zero 512"
	add := func(name, section string, steps []string, in ...[]byte) {
		cases = append(cases, helperCase{name, packetProg(section, head, steps...), in})
	}
	frames := [][]byte{ipFrame(64), ipFrame(100), ipFrame(3000)}
	add("mem", "xdp", append(dynSteps(dynFromMem(64, 0)), dynFromMem(64, 1), dynAsk("is_null"), dynAsk("size"), dynRead(1, 0, 0), dynWrite(0, 1, 0), dynAdjust(0, 0)), frames[0])
	add("data", "xdp", []string{dynFromMem(64, 0), dynData(0, 4), dynData(60, 4), dynData(61, 4), dynSlice("", 0, 4, false), dynSlice("_rdwr", 60, 4, true), dynSlice("", 61, 4, true)}, frames[0])
	for _, kind := range []string{"xdp", "skb"} {
		section := map[string]string{"xdp": "xdp", "skb": "tc"}[kind]
		add(kind, section, dynSteps(dynFromPacket(kind, 0)), frames...)
		add(kind+"_slice", section, []string{
			dynFromPacket(kind, 0), dynSlice("", 0, 4, false), dynSlice("", 0, 4, true), dynSlice("", 60, 4, true), dynSlice("", 61, 4, true),
			dynSlice("", 98, 4, true), dynAdjust(4, 50), dynSlice("", 46, 4, true), dynSlice("", 42, 4, true), dynSlice("_rdwr", 42, 4, true),
			dynFromPacket(kind, 1), dynSlice("", 0, 4, true), dynAsk("is_null"),
		}, frames...)
	}
	add("skb_rdonly", "socket", append(dynSteps(dynFromPacket("skb", 0)), dynFromPacket("skb", 0), dynSlice("", 0, 4, true), dynAsk("is_rdonly")), ipFrame(110))
	memset := func(off, size, v int) string {
		return fmt.Sprintf("\tr1 = r10\n\tr1 += -32\n\tr2 = %d\n\tr3 = %d\n\tr4 = %d\n\tcall kfunc bpf_dynptr_memset", off, size, v)
	}
	copied := func(dst, src, size int) string {
		return fmt.Sprintf("\tr1 = r10\n\tr1 += -32\n\tr2 = %d\n\tr3 = r10\n\tr3 += -32\n\tr4 = %d\n\tr5 = %d\n\tcall kfunc bpf_dynptr_copy", dst, src, size)
	}
	for _, from := range []string{dynFromPacket("xdp", 0), dynFromMem(64, 0)} {
		add("fill_"+from[len(from)-3:], "xdp", []string{from, memset(20, 4, 0x1ff), memset(60, 5, 1), memset(0, 0, 1), copied(30, 18, 8), copied(60, 0, 5), copied(0, 60, 5), copied(1, 0, 8)}, frames[0])
	}
	reserve := func(size, flags int) string {
		return fmt.Sprintf("\tr1 = map[rb]\n\tr2 = %d\n\tr3 = %d\n\tr4 = r10\n\tr4 += -32\n\tcall bpf_ringbuf_reserve_dynptr", size, flags)
	}
	end := func(how string) string {
		return "\tr1 = r10\n\tr1 += -32\n\tr2 = 0\n\tcall bpf_ringbuf_" + how + "_dynptr\n\tr0 = 0"
	}
	query := "\tr1 = map[rb]\n\tr2 = 0\n\tcall bpf_ringbuf_query"
	var ring []string
	for i, size := range []int{64, 0, 100, 4096, 4089, 3000, 1000} {
		how := []string{"submit", "discard"}[i%2]
		ring = append(ring, reserve(size, 0), dynAsk("size"), dynWrite(3, 8, 0), dynRead(8, 2, 0), dynData(0, 4), end(how), query)
	}
	ring = append(ring, reserve(8, 1), end("submit"), reserve(1<<24, 0), end("discard"), query)
	cases = append(cases, helperCase{"ringbuf", packetProg("xdp", ".map rb type=ringbuf key=0 value=0 max_entries=4096", ring...), frames[:1]})
	runCases(t, cases)
}
