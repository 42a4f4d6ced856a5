package runtime

import "fmt"

// TraceLine is one line of the kernel's trace buffer.
type TraceLine struct {
	Comm string
	PID  uint32
	CPU  int
	Time uint64 // of the virtual clock, in nanoseconds
	Msg  string // what the program printed
}

// String prints the line as /sys/kernel/tracing/trace_pipe does:
//
//	bash-42      [000] .....     1.000001: bpf_trace_printk: hello
//
// The five dots are where interrupt state stands, which does not exist here. The
// kernel ends each line itself, so that a message with a newline of its own is
// followed by an empty line; Msg has one newline cut off.
func (l TraceLine) String() string {
	us := (l.Time + 500) / 1000
	return fmt.Sprintf("%16s-%-7d [%03d] ..... %5d.%06d: bpf_trace_printk: %s",
		l.Comm, l.PID, l.CPU, us/1e6, us%1e6, l.Msg)
}

// traceCap bounds the trace buffer in bytes: 1408 KiB, the kernel's default for
// one CPU (kernel/trace/trace.c, TRACE_BUF_SIZE_DEFAULT). The oldest half goes when
// it is full, as there.
const traceCap = 1408 << 10

// traceLineCost is what a line takes besides its text.
const traceLineCost = 64

type traceBuf struct {
	lines []TraceLine
	size  int
	lost  uint64
}

func (b *traceBuf) add(l TraceLine) {
	b.size += len(l.Msg) + traceLineCost
	b.lines = append(b.lines, l)
	if b.size <= traceCap {
		return
	}
	half := len(b.lines) / 2
	b.lost += uint64(half)
	b.lines = append([]TraceLine(nil), b.lines[half:]...)
	b.size = 0
	for _, l := range b.lines {
		b.size += len(l.Msg) + traceLineCost
	}
}

// take empties the buffer.
func (b *traceBuf) take() []TraceLine {
	lines := b.lines
	b.lines, b.size = nil, 0
	return lines
}

// TraceLost counts the lines that were overwritten before anybody read them.
func (rt *Runtime) TraceLost() uint64 { return rt.trace.lost }
