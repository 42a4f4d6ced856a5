package kernel

import (
	"time"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Job is one program to be loaded, with the maps that it needs.
type Job struct {
	// Spec is the collection that holds the program. Of it, the program, the maps
	// that it refers to and, for Run, the programs in those maps are created, no
	// more.
	Spec    *spec.CollectionSpec
	Program string // the function's name

	Log LogLevel
	// MaxLog is how many bytes of log are kept; of a longer one the end. Zero means
	// 64 MiB.
	MaxLog uint32
	Want   Want

	// Contents replaces the initial contents of maps, by name. A value of a per-CPU
	// map is either one value, for all CPUs, or one for each possible CPU, each
	// padded to 8 bytes.
	Contents map[string][]spec.MapKV
	// NoBTF leaves the object's types out: the log then has no C lines.
	NoBTF bool
	// Unprivileged has the program loaded by a thread without capabilities, for the
	// verdict that users get where kernel.unprivileged_bpf_disabled is 0. Maps and
	// types are made with them.
	Unprivileged bool
	// Fresh makes Run create the maps and load the program anew for each input. The
	// maps read back are then those of the last one.
	Fresh bool
	// MaxEntries is how many elements of each map Run reads back at the end. Zero
	// means 65536.
	MaxEntries int

	more []string // further programs to load, for Attach
}

// LogLevel says what the verifier writes (include/linux/bpf_verifier.h,
// BPF_LOG_LEVEL1 and following).
type LogLevel uint32

// Bits of the log level. LogInsns writes the path to the error with states where
// they change, LogAll every path with every state, LogStats the figures at the
// end, which the other two have too.
const (
	LogNone  LogLevel = 0
	LogInsns LogLevel = 1 // BPF_LOG_LEVEL1
	LogAll   LogLevel = 2 // BPF_LOG_LEVEL2
	LogStats LogLevel = 4 // BPF_LOG_STATS
)

// Want says what to read back of an accepted program.
type Want uint32

// Things to read back.
const (
	WantXlated  Want = 1 << iota // the instructions as the verifier rewrote them, with lines
	WantJited                    // the machine code, function by function, with lines
	WantSymbols                  // the functions' names in /proc/kallsyms, which is slow to read
	// WantStats has the kernel count runs and their time during Run, which makes
	// each a little slower.
	WantStats
)

// Verdict is what came of a load.
type Verdict uint8

// Verdicts. The zero value is none of them.
const (
	Accepted Verdict = iota + 1
	Rejected
	NotTried // see LoadResult.Reason
)

func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Rejected:
		return "rejected"
	case NotTried:
		return "not tried"
	}
	return "no verdict"
}

// LoadResult is what the kernel said to a program.
type LoadResult struct {
	Verdict Verdict
	Errno   spec.Errno // 0 when accepted
	// Reason says in words why the program was not tried.
	Reason string
	// Verified says that the verifier ran. A rejection without it comes from one of
	// the checks before: unknown flags, too many instructions, no such attach type.
	Verified bool

	Log string // verbatim
	// LogSize is the length of the whole log with its NUL; Log is its end only if
	// LogTruncated.
	LogSize      uint32
	LogTruncated bool
	Stats        Stats // as far as the log has them
	// Note says what was left out to have the program loaded: types that the kernel
	// did not take, for example.
	Note string
	Took time.Duration // of the system call: verification and JIT

	// Prog is nil unless the program was accepted.
	Prog *ProgInfo
}

// ProgInfo is what the kernel tells about a loaded program (struct bpf_prog_info).
type ProgInfo struct {
	ID            uint32
	Name          string
	Tag           string // 16 hexadecimal digits: a hash over the instructions
	VerifiedInsns uint32 // instructions that the verifier processed
	XlatedLen     uint32 // bytes
	JitedLen      uint32 // bytes; 0 means that the kernel interprets
	GPL           bool   // the license is compatible with the GPL

	Xlated      isa.Program // with WantXlated
	XlatedLines []Line      // sorted by PC
	Jited       []JitedFunc // with WantJited
	JitedLines  []JitedLine // sorted by address
}

// Line is a source line with the slot of the xlated program where it begins.
type Line struct {
	PC   isa.PC
	File string
	Line int // 1-based
	Col  int // 1-based; 0 when unknown
	Text string
}

// JitedFunc is the machine code of one function.
type JitedFunc struct {
	Name   string // the C function, where types were loaded
	Addr   uint64 // where the code is; 0 where the kernel does not tell
	Code   []byte
	Symbol string // the name in kallsyms, with WantSymbols: "bpf_prog_6deef7357e7b4530_f"
}

// JitedLine is the address of the first machine instruction of a source line.
type JitedLine struct {
	Addr uint64
	Line Line
}

// Input is one run: what BPF_PROG_TEST_RUN takes.
type Input struct {
	Data   []byte // a packet, for program types with packets
	Ctx    []byte // the context, where the type takes one
	Repeat uint32 // runs in a row on the same packet, 0 and 1 mean one; for types with packets
	Flags  uint32 // BPF_F_TEST_RUN_ON_CPU, BPF_F_TEST_SKB_CHECKSUM_COMPLETE
	CPU    uint32 // with BPF_F_TEST_RUN_ON_CPU
}

// RunResult is what came of one input. Unless Errno is 0 the program did not run,
// or not to its end.
type RunResult struct {
	Errno    spec.Errno
	R0       uint32        // the kernel gives the lower half
	Data     []byte        // the packet as the program left it
	Ctx      []byte        // the context as the program left it
	Duration time.Duration // of one run: the mean over Repeat, in whole nanoseconds
	// Records are what the run sent to user space through ring buffers and perf
	// event arrays, map by map in the order of the job's maps.
	Records []Record
}

// Record is one record that a program sent to user space.
type Record struct {
	Map  string
	CPU  int // perf event arrays; -1 for ring buffers
	Data []byte
	Lost uint64 // perf event arrays: this many records did not fit; Data is nil
}

// Outcome is a load with its runs.
type Outcome struct {
	Load *LoadResult
	Runs []RunResult // one for each input
	Maps []MapDump   // in the order of the job's maps, after the last run
	// RunCount and RunTime are the kernel's own statistics over all runs; zero unless
	// the job has WantStats or kernel.bpf_stats_enabled is set. Misses are runs that were left out because the
	// program was running already.
	RunCount, Misses uint64
	RunTime          time.Duration
}

// MapDump is the content of a map.
type MapDump struct {
	Name      string
	Spec      *spec.MapSpec // as it was created: sizes may differ from what was asked
	Entries   []Entry       // in the order of the kernel
	Truncated bool          // there were more
	// Errno says that reading ended early. ENOTSUPP (524) and EOPNOTSUPP: the type
	// cannot be read from user space.
	Errno spec.Errno
}

// Entry is an element of a map.
type Entry struct {
	Key []byte // nil for queues and stacks
	// Values is one value or, in per-CPU maps, one for each possible CPU, without
	// padding. What maps of maps and prog arrays hold is the id of the map or
	// program.
	Values [][]byte
}
