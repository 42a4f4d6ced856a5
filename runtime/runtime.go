package runtime

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
	"bpfvm/types"
	"bpfvm/vm"
)

// MaxCPUs is the largest number of virtual CPUs.
const MaxCPUs = 1024

// Options of a new runtime. Only Engine is needed.
type Options struct {
	// Engine runs the programs.
	Engine vm.Engine
	// CPUs is the number of virtual CPUs; 0 means 1.
	CPUs int
	// MemCap bounds the arena in bytes; 0 means vm.DefaultCap.
	MemCap uint64
	// Target is the BTF of the kernel that is played: task_struct is laid out by
	// it. Nil means the embedded one, types.Target.
	Target *btf.Spec
	// Seed starts the random numbers.
	Seed uint64
	// Budget is the number of instructions that one run may execute; 0 means
	// vm.DefaultBudget.
	Budget uint64
	// KeepRecords leaves what programs send to user space in the ring buffers and
	// perf event arrays until somebody drains them. Otherwise the runtime is the
	// consumer: it drains after each run and puts the records into the Result.
	KeepRecords bool
}

// Runtime is one small kernel: maps, programs, CPUs, a clock and the memory that
// they share.
//
// One lock guards all of it: runs on different virtual CPUs follow each other and
// never overlap, so everything is repeatable. Methods may be called from any
// goroutine, but not from mocks.
type Runtime struct {
	// Clock is the virtual time. It starts at zero and stands still; change it
	// between runs only.
	Clock Clock
	// Rand makes the random numbers of programs.
	Rand *Rand
	// World is what programs find of the network. Change it between runs only.
	World World

	helperState

	mu      sync.Mutex
	opts    Options
	mem     *vm.Memory
	cpus    []*cpu
	maps    []kmap
	handles []mapHandle // of maps, same order
	progs   []*Program
	tasks   taskTable
	task    Task
	objects objectTable
	stop    atomic.Bool // runs are to end
	stacks  Stacks
	sockets sockets
	trace   traceBuf
	mocks   map[spec.HelperID]MockFunc
	arrays  map[string]*runArray
	links   uint64 // attachments ever made
	stats   bool
}

// cpu is one virtual CPU: its machine and the memory in which it gives programs
// their context and packets.
type cpu struct {
	m       *vm.Machine
	windows map[windowKey]*window
}

// New makes a runtime. Close gives its memory back.
func New(o Options) (*Runtime, error) {
	if o.Engine == nil {
		return nil, fmt.Errorf("runtime: no engine")
	}
	if o.CPUs == 0 {
		o.CPUs = 1
	}
	if o.CPUs < 0 || o.CPUs > MaxCPUs {
		return nil, fmt.Errorf("runtime: %d CPUs: want 1 to %d", o.CPUs, MaxCPUs)
	}
	if o.Target == nil {
		target, err := types.Target()
		if err != nil {
			return nil, fmt.Errorf("runtime: %w", err)
		}
		o.Target = target
	}
	mem, err := vm.NewMemory(o.MemCap)
	if err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	rt := &Runtime{
		opts: o, mem: mem, Rand: NewRand(o.Seed, o.CPUs),
		mocks: map[spec.HelperID]MockFunc{}, arrays: map[string]*runArray{},
	}
	for i := range o.CPUs {
		m, err := vm.NewMachine(mem)
		if err != nil {
			mem.Close()
			return nil, fmt.Errorf("runtime: cpu %d: %w", i, err)
		}
		m.CPU, m.Stop = i, &rt.stop
		if o.Budget != 0 {
			m.Limit = o.Budget
		}
		rt.cpus = append(rt.cpus, &cpu{m: m, windows: map[windowKey]*window{}})
	}
	rt.tasks.init(rt)
	rt.task = Task{Comm: "swapper/0"}
	return rt, nil
}

// StopWith makes runs end, with a trap of kind vm.TrapStopped, when ctx does, also
// those that are under way. Release ends that; runs can start again then.
func (rt *Runtime) StopWith(ctx context.Context) (release func()) {
	undo := context.AfterFunc(ctx, func() { rt.stop.Store(true) })
	return func() {
		undo()
		rt.stop.Store(false)
	}
}

// Close gives the memory back. Nothing of the runtime may be used afterwards.
func (rt *Runtime) Close() error { return rt.mem.Close() }

// Memory is the arena that programs see.
func (rt *Runtime) Memory() *vm.Memory { return rt.mem }

// Target is the BTF of the kernel that is played.
func (rt *Runtime) Target() *btf.Spec { return rt.opts.Target }

// Engine is what runs the programs.
func (rt *Runtime) Engine() vm.Engine { return rt.opts.Engine }

// CPUs returns the number of virtual CPUs.
func (rt *Runtime) CPUs() int { return len(rt.cpus) }

// Machine returns the machine of a CPU, for debuggers.
func (rt *Runtime) Machine(cpu int) *vm.Machine { return rt.cpus[cpu].m }

// SetStats switches run statistics on or off, as the sysctl
// kernel.bpf_stats_enabled does. They are off at first.
func (rt *Runtime) SetStats(on bool) { rt.stats = on }

// window is a place in the arena that is given to one run after the other: a
// context, a packet. Its size changes; it moves only when it has to grow.
//
// Windows of one kind with different levels exist at the same time: callbacks nest.
type window struct {
	r   *vm.Region
	cap uint64
}

type windowKey struct {
	kind  vm.RegionKind
	level int
}

// windowAt returns the window of a kind with exactly size bytes, zeroed. Its
// permissions are perm throughout.
func (rt *Runtime) windowAt(c *cpu, kind vm.RegionKind, size uint64, perm vm.Perm) (*vm.Region, error) {
	return rt.nestedWindow(c, windowKey{kind, 0}, size, perm)
}

func (rt *Runtime) nestedWindow(c *cpu, key windowKey, size uint64, perm vm.Perm) (*vm.Region, error) {
	w := c.windows[key]
	if w == nil || w.cap < size {
		n := max(size, 256)
		if w != nil {
			n = max(n, 2*w.cap)
		}
		r, err := rt.mem.Alloc(vm.Spec{Kind: key.kind, Size: n})
		if err != nil {
			return nil, allocErr(err)
		}
		w = &window{r, n}
		c.windows[key] = w
	}
	rt.mem.Protect(w.r.Base, w.cap, vm.PermNone)
	if perm != vm.PermNone {
		rt.mem.Protect(w.r.Base, size, perm)
	}
	w.r.Size, w.r.Start, w.r.End = size, w.r.Base, w.r.Base+size
	clear(rt.mem.Raw(w.r.Base, size))
	return w.r, nil
}
