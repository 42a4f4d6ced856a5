package scenario

import (
	"strings"
	"time"
)

// Script is a parsed event script: what the world does while programs run.
type Script struct {
	Name  string // file name, for messages
	Stmts []Stmt // as written, comments included
}

// Stmt is one statement: *Clock, *Random, *CPU, *Mock, *Mem, *Task, *MapSet, *Stack,
// *WorldItem, *Event, *Expect or *Comment.
type Stmt interface {
	Position() Pos
	// format appends the statement's canonical text.
	format(b *strings.Builder)
}

// Clock sets the virtual clock: bpf_ktime_get_ns gives Start at the beginning of
// the script, and each reading moves the clock on by Step.
type Clock struct {
	Pos
	Start *time.Duration // nil: not said
	Step  *time.Duration
}

// Random sets the seed of bpf_get_prandom_u32.
type Random struct {
	Pos
	Seed uint64
}

// CPU says on which virtual CPU the events below it happen.
type CPU struct {
	Pos
	N int
}

// Mock replaces a helper: each call returns the next of the values, and the last
// of them from then on.
type Mock struct {
	Pos
	Helper string
	Values []Value // numbers
}

// Mem puts bytes at an address of kernel or user memory.
type Mem struct {
	Pos
	Addr  uint64
	Value Value
}

// Task describes a process. An event's settings may name it by its pid alone.
type Task struct {
	Pos
	Set []Arg // pid tgid uid gid comm parent cgroup
}

// MapSet stores an element in a map before the first event.
type MapSet struct {
	Pos
	Map   string
	Key   Value
	Value Value
}

// Event is something that happens, and that programs may be attached to.
type Event struct {
	Pos
	At     *time.Duration // since the start of the script; nil: a step after the event before
	Set    []Arg          // who and where: pid tgid uid gid comm cgroup cpu repeat every
	Hook   string         // "kprobe", "tracepoint", "xdp", ...
	Target string         // "vfs_read", "syscalls/sys_enter_openat"; may be empty
	Args   []Arg          // registers, fields or a packet, by the hook's own names
}

// Name is the event as it is written: "kprobe:vfs_read", "xdp".
func (e *Event) Name() string {
	if e.Target == "" {
		return e.Hook
	}
	return e.Hook + ":" + e.Target
}

// Comment is a comment, without its "#".
type Comment struct {
	Pos
	Text string
}

// Arg is NAME=VALUE.
type Arg struct {
	Pos
	Name  string
	Value Value
}

// Subject is what an expectation looks at.
type Subject string

// Subjects of expectations, by their words in the script.
const (
	SubjectMap        Subject = "map"         // map NAME[KEY]
	SubjectMapMissing Subject = "map missing" // map NAME missing KEY
	SubjectMapEntries Subject = "map entries" // map NAME entries
	SubjectTrace      Subject = "trace"       // the text that bpf_trace_printk wrote
	SubjectTraceLines Subject = "trace lines" // how many lines of it
	SubjectR0         Subject = "r0"          // r0 [PROGRAM], of the event above
	SubjectInsns      Subject = "insns"       // insns [PROGRAM], of the event above
	SubjectTrap       Subject = "trap"        // trap [PROGRAM], of the event above
	SubjectPacket     Subject = "packet"      // packet [PROGRAM], of the event above
	SubjectEvents     Subject = "events"      // how many events have happened
	SubjectRingbuf    Subject = "ringbuf"     // records in a ring buffer
	SubjectPerf       Subject = "perf"        // records in a perf event array
)

// Expect is a claim about what happened up to here: it is checked when all the
// events above it have run.
type Expect struct {
	Pos
	Subject Subject
	Name    string // of the map or the program; may be empty
	Key     *Value // SubjectMap, SubjectMapMissing
	Path    string // SubjectMap: a part of the value, ".state.calls", "[1]"; may be empty
	Op      string // == != < <= > >= =~ !~; empty for "missing", "none", "unchanged"
	Want    *Value // nil without Op
}
