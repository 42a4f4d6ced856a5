package tour

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// hook is how Linux makes an event and what it calls when it happens.
type hook struct {
	create, fire []string
	steps        func(to string) []string // what user space does
	anded        bool                     // trace_call_bpf: results are ANDed
	story        string
}

// probe is the way of kprobes: the classic loader writes text files, libbpf opens the
// event directly.
func probe(mark string) func(string) []string {
	return func(to string) []string {
		return []string{
			fmt.Sprintf("echo '%s:%s %s' >> /sys/kernel/tracing/kprobe_events", mark, to, to),
			fmt.Sprintf("id = read(/sys/kernel/tracing/events/kprobes/%s/id)", to),
			"fd = perf_event_open({type: PERF_TYPE_TRACEPOINT, config: id, sample_period: 1})",
			"ioctl(fd, PERF_EVENT_IOC_ENABLE)",
			"ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd)",
		}
	}
}

// hooks by the first word of a target. Kernel functions: kernel/trace/trace_kprobe.c,
// kernel/trace/bpf_trace.c, kernel/events/core.c, net/core/dev.c, net/core/filter.c.
var hooks = map[string]hook{
	"kprobe": {
		create: []string{"create_or_delete_trace_kprobe", "perf_event_open", "perf_event_set_bpf_prog", "perf_event_attach_bpf_prog"},
		fire:   []string{"kprobe_dispatcher", "kprobe_perf_func", "trace_call_bpf", "bpf_prog_run_array", "bpf_prog_run"},
		steps:  probe("p"), anded: true,
		story: "The first bytes of the function were replaced by a breakpoint or a jump. Whoever calls it now ends in " +
			"kprobe_dispatcher, which has the registers of that moment in a struct pt_regs and hands them on: that is the context.",
	},
	"kretprobe": {
		create: []string{"create_or_delete_trace_kprobe", "perf_event_open", "perf_event_set_bpf_prog", "perf_event_attach_bpf_prog"},
		fire:   []string{"kretprobe_dispatcher", "kretprobe_perf_func", "trace_call_bpf", "bpf_prog_run_array", "bpf_prog_run"},
		steps:  probe("r"), anded: true,
		story: "At the function's entry its return address was replaced. When it returns it lands in kretprobe_dispatcher " +
			"with the registers of that moment: ax is the result, ip the address that it goes back to.",
	},
	"tracepoint": {
		create: []string{"perf_event_open", "perf_trace_init", "perf_event_set_bpf_prog", "perf_event_attach_bpf_prog"},
		fire:   []string{"perf_trace_run_bpf_submit", "trace_call_bpf", "bpf_prog_run_array", "bpf_prog_run"},
		steps: func(to string) []string {
			return []string{
				fmt.Sprintf("id = read(/sys/kernel/tracing/events/%s/id)", to),
				"fd = perf_event_open({type: PERF_TYPE_TRACEPOINT, config: id, sample_period: 1})",
				"ioctl(fd, PERF_EVENT_IOC_ENABLE)",
				"ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd)",
			}
		},
		anded: true,
		story: "The kernel's own code calls the tracepoint, which lays its arguments out as a record; the record is the context.",
	},
	"raw_tracepoint": {
		create: []string{"bpf(BPF_RAW_TRACEPOINT_OPEN)", "bpf_raw_tp_link_attach", "bpf_probe_register"},
		fire:   []string{"__bpf_trace_run", "bpf_prog_run"},
		steps: func(to string) []string {
			return []string{fmt.Sprintf("fd = bpf(BPF_RAW_TRACEPOINT_OPEN, {name: %q, prog_fd})", to)}
		},
		story: "The tracepoint calls the program directly, with its arguments as they are.",
	},
	"perf_event": {
		create: []string{"perf_event_open", "perf_event_set_bpf_prog"},
		fire:   []string{"bpf_overflow_handler", "bpf_prog_run"},
		steps: func(string) []string {
			return []string{"fd = perf_event_open({type: .., sample_period: ..})", "ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd)", "ioctl(fd, PERF_EVENT_IOC_ENABLE)"}
		},
		story: "The counter overflows, and its handler runs the program with the registers of that moment.",
	},
	"xdp": {
		create: []string{"bpf(BPF_LINK_CREATE)", "bpf_xdp_link_attach", "dev_xdp_install"},
		fire:   []string{"the driver's poll", "bpf_prog_run_xdp", "bpf_prog_run"},
		steps: func(string) []string {
			return []string{"fd = bpf(BPF_LINK_CREATE, {prog_fd, target_ifindex, attach_type: BPF_XDP})"}
		},
		story: "A frame has arrived, nothing has looked at it yet. The driver lays a struct xdp_buff around it and runs the program.",
	},
	"tc": {
		create: []string{"bpf(BPF_LINK_CREATE)", "tcx_link_attach"},
		fire:   []string{"sch_handle_ingress", "tcx_run", "bpf_prog_run"},
		steps: func(string) []string {
			return []string{"fd = bpf(BPF_LINK_CREATE, {prog_fd, target_ifindex, attach_type: BPF_TCX_INGRESS})"}
		},
		story: "The packet is in a socket buffer by now; tcx_run asks one program after the other until one decides.",
	},
	"socket": {
		create: []string{"setsockopt(SO_ATTACH_BPF)", "sk_attach_bpf"},
		fire:   []string{"sk_filter_trim_cap", "bpf_prog_run_save_cb", "bpf_prog_run"},
		steps: func(string) []string {
			return []string{"setsockopt(sock, SOL_SOCKET, SO_ATTACH_BPF, &prog_fd, sizeof(prog_fd))"}
		},
		story: "A packet has reached the socket; the program says how many bytes of it the socket may keep.",
	},
}

// target is where the program asks to be attached, in the words of event scripts.
func (b *builder) target() (kind, to string) {
	kind = b.prog.Type.String()
	switch b.prog.Type {
	case spec.ProgKprobe:
		kind = "kprobe"
		if rule, _, ok := spec.MatchSection(b.prog.Section); ok && rule.Return() {
			kind = "kretprobe"
		}
	case spec.ProgRawTracepoint:
		kind = "raw_tracepoint"
	case spec.ProgSchedCls, spec.ProgSchedAct:
		kind = "tc"
	case spec.ProgSocketFilter:
		kind = "socket"
	}
	return kind, b.prog.AttachTo
}

func (b *builder) event() {
	kind, to := b.target()
	h, ok := hooks[kind]
	s := b.stop("The event, and the program on it", h.create...)
	if !ok {
		s.note("How programs of type %s are attached is not told in this version.", b.prog.Type)
		return
	}
	s.text("A loaded program does nothing until something is told to call it. User space does this, and bpfvm's " +
		"runtime plays it without touching this machine:")
	s.code(h.steps(to)...)
	l := b.live()
	var rows [][]string
	for i, link := range l.links {
		rows = append(rows, []string{fmt.Sprint(i), link.Program().Name(), link.Target()})
	}
	if len(rows) > 0 {
		s.text("The event's array of programs is now:")
		s.table([]string{">place", "program", "attached to"}, rows)
	}
}

// Steps shown of a run: all of a short one, and both ends of a long one.
const (
	headSteps = 26
	tailSteps = 8
)

func (b *builder) firing() {
	kind, _ := b.target()
	h := hooks[kind]
	s := b.stop("One firing", h.fire...)
	l := b.live()
	switch {
	case b.in.Script == nil:
		s.note("No events were given: with --events FILE something happens here.")
		return
	case l.err != nil:
		s.note("It could not run: %v.", l.err)
		return
	case l.first == nil:
		s.note("%s, and none of them reached %s.", plural(l.res.Events, "event"), b.prog.Name)
		return
	}
	r := l.first
	s.text("%s", h.story)
	who := fmt.Sprintf("event %d at %s: %s", r.Index, r.Time, r.Event)
	if r.PID != 0 {
		who += fmt.Sprintf(", in %s (pid %d)", r.Comm, r.PID)
	}
	s.code(append([]string{who}, b.context(r)...)...)
	s.text("bpf_func(ctx, insnsi) is called with r1 = %s and the first of %s:", l.entry, plural(len(l.insnsi), "slot"))
	s.code(b.path(l)...)
	if r.Trap != nil {
		s.note("It ended in a trap: %s.", r.Trap.Msg)
	}
}

// context shows what the program was given.
func (b *builder) context(r *scenario.ProgRun) []string {
	if r.Packet != nil {
		return []string{"packet  " + r.Packet.Summary(), "        " + hexBytes(r.Packet.Before, 20)}
	}
	if b.prog.Type != spec.ProgKprobe && b.prog.Type != spec.ProgPerfEvent {
		return []string{"context " + hexBytes(r.Raw.Ctx, 20)}
	}
	var words []string
	for i, name := range runtime.RegNames() {
		if len(r.Raw.Ctx) < 8*(i+1) {
			break
		}
		if v := binary.LittleEndian.Uint64(r.Raw.Ctx[8*i:]); v != 0 {
			words = append(words, fmt.Sprintf("%s (+%d) = %#x", name, 8*i, v))
		}
	}
	if len(words) == 0 {
		words = []string{"all registers 0"}
	}
	for i, w := range words {
		words[i] = "         " + w
	}
	words[0] = "pt_regs" + words[0][7:]
	return words
}

// path lists the instructions that were executed.
func (b *builder) path(l *life) []string {
	var out []string
	cut := len(l.steps) > headSteps+tailSteps+1
	line := ""
	for i, st := range l.steps {
		if cut && i >= headSteps && i < len(l.steps)-tailSteps {
			if i == headSteps {
				out = append(out, fmt.Sprintf("     .. %d more instructions", len(l.steps)-headSteps-tailSteps))
			}
			continue
		}
		if sp := st.code.Spec; sp != nil {
			if c := sp.LineAt(st.pc); c != nil && c.Text != "" && c.Text != line {
				line = c.Text
				out = append(out, "; "+strings.TrimSpace(line))
			}
		}
		out = append(out, fmt.Sprintf("%4d: %-42s %s", st.pc, b.text(st), st.what))
	}
	return out
}

// text prints an executed instruction; its maps have names.
func (b *builder) text(st step) string {
	sp := st.code.Spec
	if sp == nil {
		sp = b.prog
	}
	pr := sp.Printer()
	return pr.Insn(st.code.Insns, st.pc)
}

func (b *builder) runArray() {
	kind, _ := b.target()
	h := hooks[kind]
	s := b.stop("The run array", "bpf_prog_run_array", "bpf_prog_run")
	l := b.live()
	if l.first == nil {
		s.note("Nothing ran.")
		return
	}
	ret := uint64(1)
	var rows [][]string
	for i, r := range l.siblings {
		val := r.R0
		if r.Trap != nil {
			val = 0
		}
		ret &= val
		rows = append(rows, []string{fmt.Sprint(i), r.Program, r0Text(r), fmt.Sprint(r.Insns), fmt.Sprintf("%#x", ret)})
	}
	if !h.anded {
		for i := range rows {
			rows[i] = rows[i][:4]
		}
		s.table([]string{">place", "program", "r0", ">instructions"}, rows)
		s.text("What the hook makes of r0: %s.", strings.TrimSuffix(b.prog.Type.Info().Returns, "."))
		return
	}
	s.text("An event may have many programs. bpf_prog_run_array starts with ret = 1, runs all of them in the order of " +
		"attaching, and ANDs each result to it:")
	s.table([]string{">place", "program", "r0", ">instructions", ">ret &= r0"}, rows)
	if ret == 0 {
		s.text("trace_call_bpf answers 0, so %s returns at once: the event is not written to perf's own buffer. "+
			"The program has filtered it out.", h.fire[1])
	} else {
		s.text("trace_call_bpf answers %d, so %s goes on and writes the event to perf's own buffer as well.", ret, h.fire[1])
	}
}

func r0Text(r *scenario.ProgRun) string {
	if r.Trap != nil {
		return "trap"
	}
	s := fmt.Sprint(int64(r.R0))
	if r.Ret != "" {
		s += " " + r.Ret
	}
	return s
}

// maxChanges bounds the changes of maps that are shown.
const maxChanges = 6

func (b *builder) afterwards() {
	s := b.stop("What is left behind", "__bpf_prog_run", "bpf_stats_enabled_key")
	l := b.live()
	if l.first == nil {
		s.note("Nothing ran.")
		return
	}
	last := l.siblings[len(l.siblings)-1]
	if len(last.Maps) > 0 {
		s.text("This event changed in the maps:")
		var lines []string
		for i, c := range last.Maps {
			if i == maxChanges {
				lines = append(lines, fmt.Sprintf("and %d more", len(last.Maps)-i))
				break
			}
			lines = append(lines, c.String())
		}
		s.code(lines...)
	}
	if len(l.first.Trace) > 0 {
		s.text("It wrote to /sys/kernel/tracing/trace_pipe:")
		for _, t := range l.first.Trace {
			s.code(strings.TrimLeft(t, " "))
		}
	}
	for _, rec := range l.first.Records {
		s.text("It sent %s to user space through %s.", plural(len(rec.Data), "byte"), rec.Map)
	}
	s.text("After all %s of the script, with kernel.bpf_stats_enabled = 1 (it is 0 by default: counting costs time):",
		plural(l.res.Events, "event"))
	var rows [][]string
	for _, name := range b.names() {
		st, ok := l.stats[name]
		if !ok {
			continue
		}
		per := "-"
		if st[0] > 0 {
			per = fmt.Sprintf("%.1f", float64(st[1])/float64(st[0]))
		}
		rows = append(rows, []string{name, fmt.Sprint(st[0]), fmt.Sprint(st[1]), per})
	}
	s.table([]string{"program", ">run_cnt", ">run_time_ns", ">each"}, rows)
	s.text("bpfvm's clock stands still while a program runs; it counts one nanosecond for each instruction, so that the " +
		"figures are the same everywhere.")
}

func (b *builder) names() []string {
	var names []string
	for _, p := range b.coll.Programs {
		names = append(names, p.Name)
	}
	return slices.Clip(names)
}
