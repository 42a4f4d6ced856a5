package runtime

import (
	"maps"
	"net/netip"
	"slices"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Env is what the helpers of one run act on: Machine.Env of the run.
type Env struct {
	rt  *Runtime
	m   *vm.Machine
	cpu int

	prog *Program

	ctx    *vm.Region
	packet *packet // of XDP and socket buffer programs, else nil
	cookie uint64  // bpf_get_attach_cookie
	entry  uint64  // bpf_get_func_ip

	socketBuffer *skb // of packet, made by [Env.skb] when a helper asks

	redirect *Redirect
	clones   []Clone
	assigned *Socket // by bpf_sk_assign
	effects  int     // bytes of what follows: see [Env.spend]
	signals  []Signal
	timer    *timer // whose function is running, else nil
	sockopts []SetSockopt
	bound    netip.AddrPort
	sk       *Socket // of the event: the packet's, or the one that the program acts on

	args     int        // tracing programs: words of arguments in the context
	result   bool       // and whether the result stands behind them
	before   []byte     // Context: what the fields were
	retval   int64      // cgroup hooks: what the system call will return
	sysctl   Sysctl     // cgroup/sysctl
	msg      message    // sk_msg
	seq      uint64     // iterators: the address of the seq_file
	buffer   *vm.Region // writable raw tracepoints: what the first argument points to
	flowKeys *vm.Region // flow dissectors: their result
	output   []byte     // iterators: what was written to it
}

// helperFunc is the work of a helper. Its error is a trap: the arguments are such
// that no verified program could have passed them. What the kernel reports to the
// program is a negative number in R0 and no error.
type helperFunc func(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error)

// helpers maps the names of helpers to what they do; the files helper_*.go fill
// it, one for each family.
var helpers = map[string]helperFunc{}

// typedHelpers are helpers whose work depends on the program's type; they come
// before those of the table above.
var typedHelpers = map[spec.ProgType]map[string]helperFunc{}

// helperFor returns the helper's work for a program type, or nil.
func helperFor(t spec.ProgType, name string) helperFunc {
	if fn := typedHelpers[t][name]; fn != nil {
		return fn
	}
	return helpers[name]
}

// register adds a family of helpers, for all types or for some.
func register(fns map[string]helperFunc, types ...spec.ProgType) {
	if len(types) == 0 {
		maps.Copy(helpers, fns)
		return
	}
	for _, t := range types {
		if typedHelpers[t] == nil {
			typedHelpers[t] = map[string]helperFunc{}
		}
		maps.Copy(typedHelpers[t], fns)
	}
}

// read returns memory that the helper reads.
func (e *Env) read(addr, size uint64) ([]byte, error) {
	return e.m.Mem.Bytes(addr, memSize(size), vm.PermRead)
}

// write returns memory that the helper writes.
func (e *Env) write(addr, size uint64) ([]byte, error) {
	return e.m.Mem.Bytes(addr, memSize(size), vm.PermWrite)
}

// maxEffects bounds, in bytes, what one run may have recorded of packets sent, signals
// and options.
const maxEffects = 16 << 20

// spend reports whether there is room to record an effect of so many bytes.
func (e *Env) spend(n int) bool {
	const each = 64 // for the record itself
	if e.effects+n+each > maxEffects {
		return false
	}
	e.effects += n + each
	return true
}

// memSize makes a size argument an int; what does not fit is refused by the arena
// as too large.
func memSize(size uint64) int { return int(min(size, 1<<40)) }

// Helpers returns the names of the helpers that programs of a type can call, in
// the order of their numbers.
func Helpers(t spec.ProgType) []string {
	var names []string
	all := spec.Helpers()
	for i := range all {
		if spec.HelperAllowed(t, all[i].ID) && helperFor(t, all[i].Name) != nil {
			names = append(names, all[i].Name)
		}
	}
	return names
}

// MapTypes returns the map types that there are, by number.
func MapTypes() []spec.MapType { return slices.Sorted(maps.Keys(mapKinds)) }

// ProgTypes returns the program types that there are, by number.
func ProgTypes() []spec.ProgType { return slices.Sorted(maps.Keys(progTypes)) }
