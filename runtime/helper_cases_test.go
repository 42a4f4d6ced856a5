package runtime_test

import (
	"fmt"
	"strings"
)

// Pieces of programs.

// key stores a 4-byte key at r10-4 and points r2 to it, with the map in r1.
func key(m string, k int) string {
	return fmt.Sprintf("\t*(u32 *)(r10 -4) = %d\n\tr1 = map[%s]\n\tr2 = r10\n\tr2 += -4\n", k, m)
}

func mapUpdate(m string, k, v int, flags int64) string {
	return key(m, k) + fmt.Sprintf("\t*(u64 *)(r10 -16) = %d\n\tr3 = r10\n\tr3 += -16\n\tr4 = %#x ll\n\tcall bpf_map_update_elem", v, uint64(flags))
}

func mapDelete(m string, k int) string { return key(m, k) + "\tcall bpf_map_delete_elem" }

// mapAdd adds to the value behind a key, if there is one; R0 is the old value, or -1.
func mapAdd(m string, k, add int) string {
	l := fmt.Sprintf("%s_%d_%d", m, k, add)
	return key(m, k) + fmt.Sprintf(`	call bpf_map_lookup_elem
	if r0 == 0 goto none_%s
	r1 = *(u64 *)(r0 +0)
	r2 = r1
	r2 += %d
	*(u64 *)(r0 +0) = r2
	r0 = r1
	goto done_%s
none_%s:
	r0 = -1
done_%s:`, l, add, l, l, l)
}

// printCall formats into the context at off with bpf_snprintf and one argument.
func printCall(sym string, off, size int, args ...string) string {
	var b strings.Builder
	for i, a := range args {
		fmt.Fprintf(&b, "\tr1 = %s ll\n\t*(u64 *)(r10 -%d) = r1\n", a, 8*(len(args)-i))
	}
	fmt.Fprintf(&b, "\tr1 = data[buf]+%d\n\tr2 = %d\n\tr3 = data[%s]\n\tr4 = r10\n\tr4 += -%d\n\tr5 = %d\n", off, size, sym, 8*max(len(args), 1), 8*len(args))
	if len(args) == 0 {
		b.WriteString("\tr4 = 0\n")
	}
	b.WriteString("\tcall bpf_snprintf")
	return b.String()
}

func helperCases() []helperCase {
	var cases []helperCase
	add := func(name, src string, in ...[]byte) { cases = append(cases, helperCase{name, src, in}) }

	for _, typ := range []string{"hash", "array", "percpu_hash", "percpu_array"} {
		steps := []string{
			mapAdd("m", 1, 1), mapUpdate("m", 1, 10, 0), mapUpdate("m", 1, 11, 1), mapAdd("m", 1, 5),
			mapUpdate("m", 2, 20, 2), mapUpdate("m", 2, 21, 0), mapUpdate("m", 2, 22, 2), mapAdd("m", 2, 7),
			mapUpdate("m", 3, 30, 3), mapUpdate("m", 3, 30, 4), mapUpdate("m", 3, 30, 1<<40), mapUpdate("m", 3, 30, 0),
			mapUpdate("m", 4, 40, 0), mapUpdate("m", 5, 50, 0), mapUpdate("m", 1<<30, 1, 0), mapUpdate("m", 1<<30, 1, 1),
			mapUpdate("m", 1<<30, 1, 2), mapDelete("m", 1<<30), mapDelete("m", 3), mapDelete("m", 3), mapUpdate("m", 6, 60, 1),
			mapAdd("m", 6, 1), mapAdd("m", 1<<30, 2), mapUpdate("m", 1, 13, 5), mapUpdate("m", 1, 13, -1),
		}
		head := fmt.Sprintf(".map m type=%s key=4 value=8 max_entries=4", typ)
		add("map_"+typ, syscallProg(head, steps...), make([]byte, 8*len(steps)), make([]byte, 8*len(steps)))
		add("xdp_map_"+typ, packetProg("xdp", head, steps...), eth(64), eth(64))
	}

	// A pointer to a value that was replaced or deleted still reads the old bytes.
	add("stale_value", syscallProg(".map m type=hash key=4 value=8 max_entries=4",
		mapUpdate("m", 1, 77, 0),
		key("m", 1)+"\tcall bpf_map_lookup_elem\n\tif r0 == 0 goto gone1\n\tr8 = r0\n"+
			mapUpdate("m", 1, 78, 0)+"\n\tr0 = *(u64 *)(r8 +0)\ngone1:",
		key("m", 1)+"\tcall bpf_map_lookup_elem\n\tif r0 == 0 goto gone2\n\tr8 = r0\n"+
			mapDelete("m", 1)+"\n\tr0 = *(u64 *)(r8 +0)\ngone2:",
	), make([]byte, 24))

	ring := []string{}
	query := func(what int) {
		ring = append(ring, fmt.Sprintf("\tr1 = map[rb]\n\tr2 = %d\n\tcall bpf_ringbuf_query", what))
	}
	output := func(size, flags int) {
		ring = append(ring, fmt.Sprintf("\tr1 = map[rb]\n\tr2 = r10\n\tr2 += -64\n\tr3 = %d\n\tr4 = %d\n\tcall bpf_ringbuf_output", size, flags))
	}
	reserve := func(size int, end string) {
		ring = append(ring, fmt.Sprintf("\tr1 = map[rb]\n\tr2 = %d\n\tr3 = 0\n\tcall bpf_ringbuf_reserve\n\tif r0 == 0 goto full%d\n\tr1 = r0\n\tr2 = 0\n\tcall bpf_ringbuf_%s\n\tr0 = 1\nfull%d:", size, len(ring), end, len(ring)))
	}
	var zero strings.Builder
	zero.WriteString("\tr1 = 0\n")
	for off := 8; off <= 64; off += 8 {
		zero.WriteString(fmt.Sprintf("\t*(u64 *)(r10 -%d) = r1\n", off))
	}
	ring = append(ring, zero.String()+"\tr0 = 0")
	for what := range 6 {
		query(what)
	}
	output(0, 0)
	query(0)
	output(1, 1)
	output(8, 2)
	output(9, 3)
	output(9, 4)
	query(0)
	query(3)
	reserve(0, "submit")
	reserve(100, "discard")
	query(0)
	reserve(4096, "submit")
	reserve(4089, "submit")
	reserve(4088, "submit")
	reserve(3000, "submit")
	reserve(1000, "submit")
	reserve(800, "discard")
	query(0)
	query(3)
	output(64, 0)
	query(0)
	reserve(1<<30, "submit")
	reserve(-1, "submit")
	add("ringbuf", syscallProg(".map rb type=ringbuf key=0 value=0 max_entries=4096", ring...), make([]byte, 8*len(ring)))

	numbers := []string{
		"%d", "%i", "%u", "%x", "%X", "%ld", "%li", "%lu", "%lx", "%lX", "%lld", "%llu", "%llx", "%5d|", "%-5d|", "%05d|", "%+d", "% d",
		"%08x", "%016llx", "%c", "%%%d", "%d%%", "a\tb\n%d", "%px", "%20lld|", "%-20lld|", "%020lld|", "%+05d", "%0-7d|", "%3c|", "%-3c|",
	}
	values := []string{"0", "1", "0xffffffffffffffff", "0x80000000", "0x123456789abcdef0", "0x41"}
	for i, f := range numbers {
		var steps []string
		for j, v := range values {
			steps = append(steps, printCall("fmt", 64+32*j, 32, v))
		}
		add(fmt.Sprintf("snprintf_%d", i), syscallProg(fmt.Sprintf(".rodata fmt %q", f), steps...), make([]byte, 64+32*len(values)))
	}
	add("snprintf_many", syscallProg(".rodata fmt \"%d-%s-%u-%llx\"\n.rodata s \"word\"",
		"\tr1 = 7\n\t*(u64 *)(r10 -32) = r1\n\tr1 = data[s]\n\t*(u64 *)(r10 -24) = r1\n\tr1 = -1\n\t*(u64 *)(r10 -16) = r1\n\t*(u64 *)(r10 -8) = r1\n"+
			"\tr1 = data[buf]+64\n\tr2 = 64\n\tr3 = data[fmt]\n\tr4 = r10\n\tr4 += -32\n\tr5 = 32\n\tcall bpf_snprintf",
		"\tr1 = data[buf]+128\n\tr2 = 4\n\tr3 = data[fmt]\n\tr4 = r10\n\tr4 += -32\n\tr5 = 32\n\tcall bpf_snprintf",
		"\tr1 = data[buf]+136\n\tr2 = 0\n\tr3 = data[fmt]\n\tr4 = r10\n\tr4 += -32\n\tr5 = 32\n\tcall bpf_snprintf",
	), make([]byte, 160))
	add("snprintf_strings", syscallProg(".rodata fmt \"[%s] [%6s] [%-6s]\"\n.rodata s \"abc\"",
		"\tr1 = data[s]\n\t*(u64 *)(r10 -24) = r1\n\t*(u64 *)(r10 -16) = r1\n\t*(u64 *)(r10 -8) = r1\n"+
			"\tr1 = data[buf]+64\n\tr2 = 64\n\tr3 = data[fmt]\n\tr4 = r10\n\tr4 += -24\n\tr5 = 24\n\tcall bpf_snprintf",
	), make([]byte, 128))
	add("snprintf_ip", syscallProg(".rodata fmt \"%pI4 %pi4 %pI6 %pi6\"\n.rodata a 1, 20, 255, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16",
		"\tr1 = data[a]\n\t*(u64 *)(r10 -32) = r1\n\t*(u64 *)(r10 -24) = r1\n\t*(u64 *)(r10 -16) = r1\n\t*(u64 *)(r10 -8) = r1\n"+
			"\tr1 = data[buf]+8\n\tr2 = 120\n\tr3 = data[fmt]\n\tr4 = r10\n\tr4 += -32\n\tr5 = 32\n\tcall bpf_snprintf",
	), make([]byte, 128))

	// trace_printk judges its format when it runs.
	var traces []string
	var fmts strings.Builder
	for i, f := range []string{
		"hello", "%d", "%d %d %d", "%d %d %d %d", "%q", "%", "%5", "%lllx", "%s", "%sx", "%s,", "%p", "%pI4x", "%pI5", "%pz", "%px %d", "%pK",
		"%hd", "%.3d", "%*d", "%ll", "%l", "%lc", "%c%c%c", "%pB", "%pks", "%pus", "%pts", "\x01", "%e", "%o", "%n", "%-08.", "% 5u", "%#x",
		"%2147483648d", "%8388607d", "%8388608d", "%1000d|%s", "%pI4ab|", "%pKx", "%pBz9 ", "%pxd%d", "tab\tnl\n", "%i %u",
	} {
		fmt.Fprintf(&fmts, ".rodata f%d %s\n", i, byteList(f))
		traces = append(traces, fmt.Sprintf("\tr1 = data[f%d]\n\tr2 = %d\n\tr3 = 1\n\tr4 = 2\n\tr5 = 3\n\tcall bpf_trace_printk", i, len(f)+1))
	}
	add("trace_printk", syscallProg(fmts.String(), traces...), make([]byte, 8*len(traces)))

	add("probe_read", syscallProg(".rodata s \"hello\"\n.rodata e \"\"",
		probeCall("bpf_probe_read_kernel", 200, 6, "data[s]"), probeCall("bpf_probe_read_kernel_str", 208, 8, "data[s]"),
		probeCall("bpf_probe_read_kernel_str", 216, 3, "data[s]"), probeCall("bpf_probe_read_kernel_str", 224, 6, "data[s]"),
		probeCall("bpf_probe_read_kernel_str", 232, 1, "data[s]"), probeCall("bpf_probe_read_kernel_str", 240, 0, "data[s]"),
		probeCall("bpf_probe_read_kernel_str", 248, 8, "data[e]"), probeCall("bpf_probe_read_kernel", 256, 8, "0"),
		probeCall("bpf_probe_read_kernel", 264, 0, "0"), probeCall("bpf_probe_read_user", 272, 8, "0"),
		probeCall("bpf_probe_read_user", 280, 8, "data[s]"), probeCall("bpf_probe_read_user_str", 288, 8, "8"),
		probeCall("bpf_probe_read_user_str", 296, 8, "data[s]"), probeCall("bpf_probe_read_kernel_str", 304, 8, "0"),
		probeCall("bpf_probe_read", 312, 8, "0"), probeCall("bpf_probe_read_str", 320, 8, "data[s]"),
		probeCall("bpf_probe_read_kernel", 328, 8, "0xffff000000000000 ll"), probeCall("bpf_probe_read_user_str", 336, 0, "8"),
	), filled(400))

	percpu := func(m string, k, cpu int) string {
		l := fmt.Sprintf("%d_%d", k&0xff, cpu&0xff)
		return key(m, k) + fmt.Sprintf("\tr3 = %d\n\tcall bpf_map_lookup_percpu_elem\n\tif r0 == 0 goto no_%s\n\tr0 = *(u64 *)(r0 +0)\n\tgoto ok_%s\nno_%s:\n\tr0 = -1\nok_%s:", cpu, l, l, l, l)
	}
	for _, typ := range []string{"percpu_hash", "percpu_array"} {
		steps := []string{mapUpdate("m", 1, 10, 0)}
		for _, c := range [][2]int{{1, 0}, {1, 1}, {1, 1000}, {1, -1}, {9, 0}, {2, 0}} {
			steps = append(steps, percpu("m", c[0], c[1]))
		}
		add("lookup_percpu_"+typ, syscallProg(fmt.Sprintf(".map m type=%s key=4 value=8 max_entries=4", typ), steps...), make([]byte, 8*len(steps)))
	}

	vprintk := func(f string, n int) string {
		return fmt.Sprintf("\tr1 = 5\n\t*(u64 *)(r10 -16) = r1\n\t*(u64 *)(r10 -8) = r1\n\tr1 = data[%s]\n\tr2 = 6\n\tr3 = r10\n\tr3 += -16\n\tr4 = %d\n\tcall bpf_trace_vprintk", f, n)
	}
	add("trace_vprintk", syscallProg(".rodata f \"%d %d\"\n.rodata g \"%d %q\"", vprintk("f", 16), vprintk("f", 8), vprintk("f", 0), vprintk("f", 12), vprintk("g", 16)), make([]byte, 40))

	add("time_and_cpu", syscallProg("",
		"\tcall bpf_get_smp_processor_id", "\tcall bpf_get_numa_node_id",
		"\tcall bpf_ktime_get_ns\n\tr8 = r0\n\tcall bpf_ktime_get_boot_ns\n\tr1 = r0\n\tr0 = 1\n\tif r1 >= r8 goto ok1\n\tr0 = 0\nok1:",
		"\tcall bpf_get_prandom_u32\n\tr0 >>= 32",
	), make([]byte, 128))

	var cmpHead strings.Builder
	var cmps []string
	for i, p := range [][2]string{{"abc", "abc"}, {"abc", "abd"}, {"abd", "abc"}, {"ab", "abc"}, {"abcd", "abc"}, {"", "a"}} {
		fmt.Fprintf(&cmpHead, ".rodata a%d %q\n.rodata b%d %q\n", i, p[0], i, p[1])
		for n := 1; n <= len(p[0])+1; n++ {
			cmps = append(cmps, fmt.Sprintf("\tr1 = data[a%d]\n\tr2 = %d\n\tr3 = data[b%d]\n\tcall bpf_strncmp\n\tr1 = r0\n\tr1 <<= 32\n\tr1 s>>= 63\n\tr0 = r1", i, n, i))
		}
	}
	add("strncmp", syscallProg(cmpHead.String(), cmps...), make([]byte, 8*len(cmps)))

	addPacketCases(add)
	return cases
}

// byteList writes a string with its NUL as numbers.
func byteList(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%d, ", s[i])
	}
	return b.String() + "0"
}

// filled is memory that is not zero.
func filled(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xaa
	}
	return b
}

func probeCall(helper string, off, size int, addr string) string {
	return fmt.Sprintf("\tr1 = data[buf]+%d\n\tr2 = %d\n\tr3 = %s\n\tcall %s", off, size, addr, helper)
}

func addPacketCases(add func(name, src string, in ...[]byte)) {
	frames := [][]byte{eth(14), eth(15), eth(60), eth(64), eth(256), eth(1500), eth(3520)}
	call := func(helper string, arg int) string {
		return fmt.Sprintf("\tr1 = r6\n\tr2 = %d\n\tcall %s", arg, helper)
	}
	for _, n := range []int{-300, -257, -256, -217, -216, -215, -200, -4, -1, 0, 1, 4, 14, 46, 47, 50, 1000, 1 << 30, -1 << 30} {
		add(fmt.Sprintf("xdp_adjust_head_%d", n), packetProg("xdp", "", call("bpf_xdp_adjust_head", n), call("bpf_xdp_get_buff_len", 0)), frames...)
		add(fmt.Sprintf("xdp_adjust_tail_%d", n), packetProg("xdp", "", call("bpf_xdp_adjust_tail", n), call("bpf_xdp_get_buff_len", 0)), frames...)
		add(fmt.Sprintf("xdp_adjust_meta_%d", n), packetProg("xdp", "", call("bpf_xdp_adjust_meta", n), call("bpf_xdp_adjust_head", -8), call("bpf_xdp_adjust_meta", 4), call("bpf_xdp_adjust_head", -200)), frames...)
	}
	for _, n := range []int{200, 1000, 2000, 3000, 3456, 3457} {
		add(fmt.Sprintf("xdp_grow_%d", n), packetProg("xdp", "", call("bpf_xdp_adjust_tail", n), call("bpf_xdp_adjust_head", 2), call("bpf_xdp_adjust_tail", 1)), frames...)
	}
	bytesCall := func(helper string, off, n int) string {
		return fmt.Sprintf("\tr1 = 0x1122334455667788 ll\n\t*(u64 *)(r10 -24) = r1\n\tr1 = r6\n\tr2 = %d\n\tr3 = r10\n\tr3 += -24\n\tr4 = %d\n\tr5 = 0\n\tcall %s", off, n, helper)
	}
	loaded := "\tr0 = *(u64 *)(r10 -24)"
	for _, kind := range []string{"xdp", "tc"} {
		helper := map[string]string{"xdp": "bpf_xdp_", "tc": "bpf_skb_"}[kind]
		var steps []string
		for _, off := range []int{0, 1, 10, 59, 60, 63, 64, 1492, 1493, 0xffff, 0x10000, 1 << 30, -1} {
			steps = append(steps, bytesCall(helper+"load_bytes", off, 8), loaded, bytesCall(helper+"load_bytes", off, 1), bytesCall(helper+"store_bytes", off, 3))
		}
		in := [][]byte{eth(60), eth(64), eth(256), eth(1500)}
		if kind == "xdp" {
			in = append(in, eth(4000), eth(9000))
		}
		add(kind+"_load_store", packetProg(kind, "", steps...), in...)
	}
	// Across the end of the linear part.
	var steps []string
	for _, off := range []int{3500, 3513, 3516, 3519, 3520, 7608, 7610, 7615, 7616} {
		steps = append(steps, bytesCall("bpf_xdp_load_bytes", off, 8), loaded, bytesCall("bpf_xdp_store_bytes", off, 5))
	}
	add("xdp_frags", packetProg("xdp.frags", "", steps...), eth(3521), eth(5000), eth(8000))
	for _, n := range []int{-1, -500, -3000, -4985, -4986, -4987, -4990, -5000, 1, 100, 2616, 2617} {
		add(fmt.Sprintf("xdp_frags_tail_%d", n), packetProg("xdp.frags", "", call("bpf_xdp_adjust_tail", n), call("bpf_xdp_get_buff_len", 0)), eth(5000))
	}
	add("skb_socket", packetProg("socket", "", bytesCall("bpf_skb_load_bytes", 0, 8), loaded, bytesCall("bpf_skb_load_bytes", 2000, 8), loaded), eth(64), eth(14))
	field := func(off int) string { return fmt.Sprintf("\tr0 = *(u32 *)(r6 +%d)", off) }
	// pointers are compared by their differences
	add("xdp_md", packetProg("xdp", "", field(12), field(16),
		"\tr0 = *(u32 *)(r6 +4)\n\tr1 = *(u32 *)(r6 +0)\n\tr0 -= r1", "\tr0 = *(u32 *)(r6 +0)\n\tr1 = *(u32 *)(r6 +8)\n\tr0 -= r1"), eth(14), eth(77), eth(3520), eth(3521), eth(6000))
	// wire_len is missing: the kernel has 0 in a test run, the length otherwise.
	var fields []string
	for _, off := range []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68, 72, 84, 164, 176} {
		fields = append(fields, field(off))
	}
	fields = append(fields, "\tr0 = *(u64 *)(r6 +152)", "\tr0 = *(u32 *)(r6 +80)\n\tr1 = *(u32 *)(r6 +76)\n\tr0 -= r1", "\tr0 = *(u32 *)(r6 +76)\n\tr1 = *(u32 *)(r6 +140)\n\tr0 -= r1",
		"\tr1 = 7\n\t*(u32 *)(r6 +8) = r1\n\t*(u32 *)(r6 +48) = r1\n\tr0 = *(u32 *)(r6 +8)", "\tr1 = 3\n\t*(u32 *)(r6 +32) = r1\n\t*(u32 *)(r6 +44) = r1\n\tr0 = *(u32 *)(r6 +32)")
	ip := eth(64)
	copy(ip[12:], "\x08\x00\x45")
	add("sk_buff_tc", packetProg("tc", "", fields...), eth(14), eth(60), ip)
	add("sk_buff_socket", packetProg("socket", "", field(0), field(4), field(8), field(12), field(16), field(20), field(32), field(36), field(40), field(48), field(68)), eth(60), ip)
	add("ld_abs", packetProg("socket", "", "\tr0 = *(u8 *)skb[0]", "\tr0 = *(u16 *)skb[3]", "\tr0 = *(u32 *)skb[7]", "\tr1 = 5\n\tr0 = *(u16 *)skb[r1 +2]"), eth(60), eth(30), eth(20))
	add("csum_diff", packetProg("tc", "",
		diffCall(0, 8, 0), diffCall(8, 0, 0), diffCall(8, 8, 0), diffCall(4, 8, 0x1234), diffCall(3, 8, 0), diffCall(0, 16, -1), diffCall(0, 4, 0xffff), diffCall(5, 7, 3), diffCall(0, 0, 0x12345678), diffCall(0, 0, 0), diffCall(1, 0, 9), diffCall(0, 3, 0),
	), eth(64))
	for _, typ := range []string{"tc"} {
		var steps []string
		for _, c := range [][4]int{{24, 0x1111, 0x2222, 2}, {24, 0x11112222, 0x33334444, 4}, {24, 0, 0x12345, 0}, {24, 1, 2, 0}, {24, 1, 2, 3}, {25, 1, 2, 2}, {62, 1, 2, 2}, {64, 1, 2, 2}, {0x10000, 1, 2, 2}, {24, 0, 0, 0x10}} {
			steps = append(steps, csumCall("bpf_l3_csum_replace", c), csumCall("bpf_l4_csum_replace", c))
		}
		for _, f := range []int{0x22, 0x62, 0x12, 0x100, 0x20} {
			steps = append(steps, csumCall("bpf_l4_csum_replace", [4]int{40, 1, 2, f}))
		}
		zeroed := eth(64)
		zeroed[40], zeroed[41] = 0, 0
		add(typ+"_csum_replace", packetProg(typ, "", steps...), eth(64), zeroed)
	}
	add("skb_pull_data", packetProg("tc", "", call("bpf_skb_pull_data", 0), call("bpf_skb_pull_data", 60), call("bpf_skb_pull_data", 64), call("bpf_skb_pull_data", 65), call("bpf_skb_pull_data", 1<<20)), eth(64))
	redirect := func(flags int) string { return fmt.Sprintf("\tr1 = 1\n\tr2 = %d\n\tcall bpf_redirect", flags) }
	add("redirect_xdp", packetProg("xdp", "", redirect(0), redirect(1), redirect(8)), eth(64))
	add("redirect_tc", packetProg("tc", "", redirect(0), redirect(1), redirect(2), redirect(8)), eth(64))
	add("skb_relative", packetProg("tc", "", relativeCall(0, 0), loaded, relativeCall(0, 1), loaded, relativeCall(45, 1), relativeCall(0, 2), relativeCall(0x10000, 0), loaded, relativeCall(-14, 1)), eth(64))
	// The stale pointer of a hash element is in helperCases; tail calls fall
	// through when nothing is there.
	add("tail_call_empty", packetProg("xdp", ".map jmp type=prog_array key=4 value=4 max_entries=2",
		"\tr1 = r6\n\tr2 = map[jmp]\n\tr3 = 0\n\tcall bpf_tail_call\n\tr0 = 5", "\tr1 = r6\n\tr2 = map[jmp]\n\tr3 = 2\n\tcall bpf_tail_call\n\tr0 = 6"), eth(64))
	add("perf_output_closed", packetProg("xdp", ".map ev type=perf_event_array key=4 value=4 max_entries=2",
		perfCall("r6", 5, 8), perfCall("r6", 1<<32, 8), perfCall("r6", 65<<32|0xffffffff, 8), perfCall("r6", 1<<60, 8)), eth(64))
}

func diffCall(from, to int, seed int) string {
	return fmt.Sprintf("\tr1 = 0x1122334455667788 ll\n\t*(u64 *)(r10 -24) = r1\n\tr1 = 0x99aabbccddeeff00 ll\n\t*(u64 *)(r10 -32) = r1\n\t*(u64 *)(r10 -40) = r1\n"+
		"\tr1 = r10\n\tr1 += -24\n\tr2 = %d\n\tr3 = r10\n\tr3 += -40\n\tr4 = %d\n\tr5 = %d\n\tcall bpf_csum_diff", from, to, seed)
}

func csumCall(helper string, c [4]int) string {
	return fmt.Sprintf("\tr1 = r6\n\tr2 = %d\n\tr3 = %d\n\tr4 = %d\n\tr5 = %d\n\tcall %s", c[0], c[1], c[2], c[3], helper)
}

func perfCall(ctx string, flags int64, size int) string {
	return fmt.Sprintf("\tr1 = 0\n\t*(u64 *)(r10 -24) = r1\n\t*(u64 *)(r10 -16) = r1\n\tr1 = %s\n\tr2 = map[ev]\n\tr3 = %#x ll\n\tr4 = r10\n\tr4 += -24\n\tr5 = %d\n\tcall bpf_perf_event_output", ctx, uint64(flags), size)
}

func relativeCall(off, start int) string {
	return fmt.Sprintf("\tr1 = 0x1122334455667788 ll\n\t*(u64 *)(r10 -24) = r1\n\tr1 = r6\n\tr2 = %d\n\tr3 = r10\n\tr3 += -24\n\tr4 = 8\n\tr5 = %d\n\tcall bpf_skb_load_bytes_relative", off, start)
}
