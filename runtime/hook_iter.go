package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/types"
	"bpfvm/vm"
)

// Iter is one step of an iterator: one task, one map element, one socket. The
// context is the kernel's struct bpf_iter__NAME; what the program writes into its
// seq_file is Result.Output (kernel/bpf/bpf_iter.c, bpf_iter_run_prog).
type Iter struct {
	// Args are the words of the context behind meta, by the name of the field.
	// Pointers to structures that are not given lead to kernel objects.
	Args map[string]uint64
	// Buffers are fields that point to bytes which the program may read and write:
	// key and value of map iterators.
	Buffers map[string][]byte
	// Session and Seq are the iterator's own counts.
	Session, Seq uint64
	CPU          int
}

func (i *Iter) accepts(t spec.ProgType) bool { return t == spec.ProgTracing }
func (i *Iter) on() int                      { return i.CPU }

func (i *Iter) setup(e *Env, p *Program) (*vm.Region, error) {
	hook, name := p.hook()
	if hook != "iter" {
		return nil, fmt.Errorf("%s is not an iterator: %w", p.Name(), spec.EINVAL)
	}
	t, err := types.TypeByName(e.rt.opts.Target, "struct bpf_iter__"+name)
	if err != nil {
		return nil, fmt.Errorf("iterator %s: %w", name, err)
	}
	fields, err := types.Fields(t)
	if err != nil {
		return nil, err
	}
	size := uint64(8)
	for _, f := range fields {
		size = max(size, uint64(f.Off+f.Size))
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, size, vm.PermRead)
	if err != nil {
		return nil, err
	}
	for k, f := range fields {
		v, err := i.field(e, k, &f)
		if err != nil {
			return nil, fmt.Errorf("iterator %s: %s: %w", name, f.Name, err)
		}
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], v)
		copy(e.rt.mem.Raw(ctx.Base+uint64(f.Off), uint64(f.Size)), raw[:])
	}
	for name := range i.Args {
		if !hasField(fields, name) {
			return nil, fmt.Errorf("the context of %s has no field %s: %w", p.Target(), name, spec.EINVAL)
		}
	}
	return ctx, nil
}

func hasField(fields []types.Field, name string) bool {
	for _, f := range fields {
		if f.Name == name {
			return true
		}
	}
	return false
}

// field is the value of field number k of the context.
func (i *Iter) field(e *Env, k int, f *types.Field) (uint64, error) {
	if f.Name == "meta" {
		return i.meta(e)
	}
	if v, ok := i.Args[f.Name]; ok {
		return v, nil
	}
	if b, ok := i.Buffers[f.Name]; ok {
		r, err := e.rt.nestedWindow(e.rt.cpus[e.cpu], windowKey{vm.RegionScratch, k}, uint64(max(len(b), 1)), vm.PermRW)
		if err != nil {
			return 0, err
		}
		copy(e.rt.mem.Raw(r.Base, r.Size), b)
		return r.Base, nil
	}
	if to := PointsTo(f.Type); to != nil {
		return e.rt.kernelObject(to)
	}
	return 0, nil
}

// meta makes the struct bpf_iter_meta.
func (i *Iter) meta(e *Env) (uint64, error) {
	seq, err := e.rt.kernelStruct("seq_file", nil)
	if err != nil {
		return 0, err
	}
	e.seq = seq
	return e.rt.kernelStruct("bpf_iter_meta", []FieldValue{
		Number("seq", seq), Number("session_id", i.Session), Number("seq_num", i.Seq),
	})
}

func (i *Iter) finish(e *Env, res *Result) { res.Output = e.output }
