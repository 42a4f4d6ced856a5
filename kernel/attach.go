package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bpfvm/isa"
	"bpfvm/spec"
)

// AttachOptions say how programs are attached and triggered.
type AttachOptions struct {
	// Rounds is how often the worker does what is to trigger the programs; 0 means
	// once. A round makes system calls of many kinds and calls the function that
	// uprobes of our own binary are placed at.
	Rounds int
	// AllTasks lets the programs see what other threads do. Without it, each program
	// begins with a few instructions that leave it at once for any other thread than
	// the worker's: events of the kernel come from everywhere.
	AllTasks bool
}

// AttachOutcome is what came of attaching.
type AttachOutcome struct {
	Programs []Attached
	Records  []Record
	Maps     []MapDump
	// Trace is what the programs printed with bpf_trace_printk; only with the
	// worker's own events (not AllTasks).
	Trace []string
	// Did names what a round did, in order.
	Did []string
}

// Attached is one program of an attachment.
type Attached struct {
	Program string
	Section string
	Load    *LoadResult
	// At is where it was attached, "kprobe:kmem_cache_free"; empty where it was not,
	// and then Reason says why.
	At, Reason string
	// Note says what was done differently from what the section says: another
	// symbol, because the kernel has renamed it.
	Note string
	// Runs and Time are the kernel's own statistics, over all threads; Misses are
	// runs that were left out because the program was running already.
	Runs, Misses uint64
	Time         time.Duration
}

// attachKind is how a program gets to its event.
type attachKind uint8

const (
	attachKprobe     attachKind = iota + 1
	attachUprobe                // of our own binary
	attachTracepoint            // by its number in tracefs
	attachRawTP                 // BPF_RAW_TRACEPOINT_OPEN with a name
	attachTrampoline            // the same without: tp_btf, fentry, fexit, fmod_ret, LSM
	attachPerfEvent
)

// attachPoint is where a program goes.
type attachPoint struct {
	Kind    attachKind
	Target  string
	Return  bool
	Section string
}

// wireAttach asks for an attachment: of the first len(Points) programs of the job.
type wireAttach struct {
	Points   []attachPoint
	Rounds   int
	AllTasks bool
}

// Attach loads programs of a job's collection together, on the same maps, attaches
// those that can be, lets the worker trigger them, detaches them and reads the maps.
// job.Program is not used. Nothing stays attached when it returns, nor when ctx ends
// or this process does: an attachment lives as long as the worker's descriptors.
//
// Programs at hooks of other kinds than events (interfaces, cgroups, sockets, LSM on
// this machine) are not attached; Attached.Reason says so.
func (k *Kernel) Attach(ctx context.Context, job Job, programs []string, o AttachOptions) (*AttachOutcome, error) {
	if len(programs) == 0 {
		return nil, errors.New("attach: no program is named")
	}
	job.Program, job.more = programs[0], programs[1:]
	wire, err := prepare(&job, true)
	if err != nil {
		return nil, err
	}
	r := &request{Load: wire, Attach: &wireAttach{Rounds: max(o.Rounds, 1), AllTasks: o.AllTasks}}
	for _, name := range programs {
		p := job.Spec.Program(name)
		point, err := attachPointOf(p)
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", name, err)
		}
		r.Attach.Points = append(r.Attach.Points, point)
	}
	a, err := k.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	return a.Attached, nil
}

// CanAttach says whether Attach knows what to do with a program; the error wraps
// errors.ErrUnsupported.
func CanAttach(p *spec.ProgramSpec) error {
	_, err := attachPointOf(p)
	return err
}

// attachPointOf reads a program's section.
func attachPointOf(p *spec.ProgramSpec) (attachPoint, error) {
	rule, _, _ := spec.MatchSection(p.Section)
	at := attachPoint{Target: p.AttachTo, Section: p.Section, Return: rule.Return()}
	switch {
	case rule.Multi || rule.Session || rule.USDT:
		return at, &UnsupportedError{What: fmt.Sprintf("attaching to %s: only single kprobes and uprobes are", p.Section)}
	case p.Type == spec.ProgKprobe && (rule.Hook == "uprobe_register"):
		at.Kind = attachUprobe
		if at.Return {
			return at, &UnsupportedError{What: p.Section + ": a return probe changes the stack of a Go function, which moves its stack"}
		}
	case p.Type == spec.ProgKprobe:
		at.Kind = attachKprobe
	case p.Type == spec.ProgTracepoint:
		at.Kind = attachTracepoint
	case p.Type == spec.ProgRawTracepoint:
		at.Kind = attachRawTP
	case p.Type == spec.ProgPerfEvent:
		at.Kind = attachPerfEvent
		return at, nil
	case p.Type == spec.ProgTracing && p.Attach != spec.AttachTraceIter, p.Type == spec.ProgLSM:
		at.Kind = attachTrampoline
	default:
		return at, &UnsupportedError{What: fmt.Sprintf("attaching a %s program: only programs on events of the kernel are", p.Type)}
	}
	if at.Target == "" && at.Kind != attachUprobe {
		return at, fmt.Errorf("section %q names no target", p.Section)
	}
	return at, nil
}

// filterLen is the number of slots that onlyThread puts before a program.
const filterLen = 6

// onlyThread is what is put before a program so that it does nothing for other
// threads: R6 has no value there, and nobody misses it.
func onlyThread(tid int) isa.Program {
	getPID := spec.HelperByName("bpf_get_current_pid_tgid").ID
	return isa.Program{
		{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcX), Regs: isa.MakeRegs(isa.R6, isa.R1)},
		{Op: isa.OpCall, Imm: int32(getPID)},
		{Op: isa.JumpOp(isa.ClassJMP32, isa.CodeJeq, isa.SrcK), Regs: isa.MakeRegs(isa.R0, 0), Off: 2, Imm: int32(tid)},
		{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK), Regs: isa.MakeRegs(isa.R0, 0)},
		{Op: isa.OpExit},
		{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcX), Regs: isa.MakeRegs(isa.R1, isa.R6)},
	}
}

// renamed are functions that a kernel has under another name: since 6.10 the
// allocators are macros around these (include/linux/slab.h, alloc_hooks).
var renamed = map[string]string{
	"kmem_cache_alloc":      "kmem_cache_alloc_noprof",
	"kmem_cache_alloc_node": "kmem_cache_alloc_node_noprof",
	"kmem_cache_alloc_lru":  "kmem_cache_alloc_lru_noprof",
	"kmem_cache_alloc_bulk": "kmem_cache_alloc_bulk_noprof",
	"__kmalloc":             "__kmalloc_noprof",
	"__kmalloc_node":        "__kmalloc_node_noprof",
	"kmalloc_trace":         "__kmalloc_cache_noprof",
	"__alloc_pages":         "__alloc_pages_noprof",
	"vmalloc":               "vmalloc_noprof",
	"kvmalloc_node":         "__kvmalloc_node_noprof",
}
