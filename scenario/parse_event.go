package scenario

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// settings are what an event may say before its hook.
var settings = []string{"pid", "tgid", "uid", "gid", "comm", "cgroup", "cpu", "repeat", "every"}

// MaxComm is the length of a task's name without its NUL
// (include/linux/sched.h, TASK_COMM_LEN is 16).
const MaxComm = 15

// MaxEvents bounds the events of a run, repetitions and frames of captures
// included.
const MaxEvents = 4_000_000

// event takes [at TIME] {SETTING=VALUE} HOOK[:TARGET] {ARG=VALUE}.
func (p *parser) event(at Pos) (Stmt, *Error) {
	e := &Event{Pos: at}
	start := p.off
	if p.word() == "at" && p.peek() != '=' {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		d, err := duration(v)
		if err != nil {
			return nil, err
		}
		e.At = &d
	} else {
		p.off = start
	}
	var err *Error
	if e.Set, err = p.args("an event", settings); err == nil {
		err = checkSet(e.Set)
	}
	if err != nil {
		return nil, err
	}
	p.space()
	hookAt := p.pos()
	word := p.word()
	if word == "" {
		if p.end() {
			return nil, p.errf(hookAt, "the event itself is missing, such as kprobe:vfs_read")
		}
		return nil, p.errf(hookAt, "unexpected %q", p.rest())
	}
	name, target, colon := strings.Cut(word, ":")
	if kind, rest, slash := strings.Cut(name, "/"); slash && !colon && findHook(kind) != nil {
		name, target = kind, rest // as in SEC("cgroup/connect4")
	}
	h := findHook(name)
	if slices.Contains(missing, name) {
		return nil, &Error{Pos: hookAt, Msg: fmt.Sprintf("events of %s are not supported", name), Err: errors.ErrUnsupported}
	}
	if h == nil {
		known := slices.Concat(Hooks(), keys(verbs), []string{"expect", "at"})
		return nil, p.errf(hookAt, "unknown statement or event %s%s", name, didYouMean(name, known))
	}
	e.Hook, e.Target = h.name, target
	if h.must && target == "" {
		return nil, p.errf(hookAt, "%s wants a target: %s:%s", h.name, h.name, h.target)
	}
	if colon && h.name == "tracepoint" && !strings.Contains(target, "/") {
		return nil, p.errf(hookAt, "tracepoint:%s has no category: tracepoint:CATEGORY/NAME", target)
	}
	if e.Args, err = p.hookArgs(h, e, hookAt); err == nil {
		err = p.checkArgs(h, e)
	}
	return e, err
}

// hookArgs takes the arguments of an event and checks their names, as far as they
// can be known without the kernel that is played.
func (p *parser) hookArgs(h *hook, e *Event, hookAt Pos) ([]Arg, *Error) {
	names := h.args
	if h.fields {
		var err error
		if names, err = h.argNames(e.Target, nil); err != nil {
			return nil, p.errf(hookAt, "%v", err)
		}
	}
	args, err := p.args(e.Name(), names)
	if err != nil || !h.traced {
		return args, err
	}
	names, e2 := h.argNames(e.Target, args)
	if e2 != nil {
		return args, p.errf(hookAt, "%v", e2)
	}
	for _, a := range args {
		if names != nil && !slices.Contains(names, a.Name) {
			return args, p.errf(a.Pos, "%s has no %s%s", e.Name(), a.Name, didYouMean(a.Name, names))
		}
	}
	return args, nil
}

// checkSet checks the settings of events and tasks.
func checkSet(args []Arg) *Error {
	for _, a := range args {
		var err *Error
		switch a.Name {
		case "pid", "tgid", "parent":
			_, err = whole(a.Value, math.MaxInt32)
		case "uid", "gid":
			_, err = whole(a.Value, math.MaxUint32)
		case "cgroup":
			_, err = whole(a.Value, math.MaxUint64)
		case "cpu":
			_, err = whole(a.Value, MaxCPU)
		case "repeat":
			_, err = whole(a.Value, MaxEvents)
		case "every":
			_, err = duration(a.Value)
		case "comm":
			switch text, ok := a.Value.plain(); {
			case !ok:
				err = &Error{Pos: a.Value.Pos, Msg: fmt.Sprintf("%s is not a name", a.Value)}
			case len(text) > MaxComm:
				err = &Error{Pos: a.Value.Pos, Msg: fmt.Sprintf("comm %q has %d bytes, the kernel keeps %d", text, len(text), MaxComm)}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// plain is the text of a word, a string or a number.
func (v Value) plain() (string, bool) {
	switch v.Kind {
	case ValueWord, ValueString:
		return v.Text, true
	case ValueNumber, ValueDuration:
		return v.String(), true
	}
	return "", false
}

// checkArgs checks the arguments of an event.
func (p *parser) checkArgs(h *hook, e *Event) *Error {
	packets := 0
	for _, a := range e.Args {
		if h.packet && slices.Contains(packetArgs, a.Name) {
			if a.Name == "frame" {
				if _, err := whole(a.Value, MaxEvents); err != nil {
					return err
				}
				continue
			}
			if err := p.checkPacketArg(a); err != nil {
				return err
			}
			if packets++; packets > 1 {
				return &Error{Pos: a.Pos, Msg: "an event carries one packet: one of packet, hex, file and pcap"}
			}
			continue
		}
		is, _, _ := a.Value.memory()
		is = is || a.Value.Kind == ValueCall && (a.Value.Text == "task" || h.fields || takesBytes(e, a.Name))
		is = is || a.Value.Kind == ValueWord && h.fields
		if !is && !a.Value.IsNumber() {
			return &Error{Pos: a.Value.Pos, Msg: fmt.Sprintf("%s=%s: a number, str(\"..\"), bytes(\"..\"), ptr(..) or task(PID) is wanted", a.Name, a.Value)}
		}
	}
	if h.packet && packets == 0 {
		return &Error{Pos: e.Pos, Msg: fmt.Sprintf("%s wants a packet: packet=\"eth/ipv4/udp\", hex=\"..\", file=\"..\" or pcap=\"..\"", e.Name())}
	}
	if i := slices.IndexFunc(e.Args, func(a Arg) bool { return a.Name == "frame" }); h.packet && i >= 0 {
		if !slices.ContainsFunc(e.Args, func(a Arg) bool { return a.Name == "pcap" }) {
			return &Error{Pos: e.Args[i].Pos, Msg: "frame goes with pcap"}
		}
	}
	return nil
}

// takesBytes says that an argument is given as bytes, which any function makes.
func takesBytes(e *Event, name string) bool {
	switch e.Hook {
	case "tracepoint":
		return name == "record"
	case "syscall":
		return name == "ctx"
	case "raw_tracepoint":
		return name == "buffer"
	case "iter": // of elements of maps
		return name == "key" || name == "value"
	}
	return false
}

// checkPacketArg checks what can be checked without opening files.
func (p *parser) checkPacketArg(a Arg) *Error {
	text, ok := a.Value.plain()
	if !ok || a.Name != "file" && a.Name != "pcap" && a.Value.Kind != ValueString {
		return &Error{Pos: a.Value.Pos, Msg: fmt.Sprintf("%s: text in quotes is wanted, not %s", a.Name, a.Value)}
	}
	var b []byte
	var err error
	switch a.Name {
	case "packet":
		b, err = PacketWords(text)
	case "hex":
		b, err = PacketHex(text)
	}
	if err != nil {
		return &Error{Pos: a.Value.Pos, Msg: err.Error(), Err: err}
	}
	return p.spend(a.Value.Pos, len(b))
}
