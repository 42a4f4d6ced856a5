package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/types"
	"bpfvm/vm"
)

// Netfilter is a packet on a netfilter hook (struct bpf_nf_ctx): typed pointers to
// the kernel's nf_hook_state and sk_buff, which programs read field by field.
type Netfilter struct {
	Data  []byte // from the network header on
	State []FieldValue
	SKB   []FieldValue
	CPU   int
}

func (n *Netfilter) accepts(t spec.ProgType) bool { return t == spec.ProgNetfilter }
func (n *Netfilter) on() int                      { return n.CPU }

func (n *Netfilter) setup(e *Env, _ *Program) (*vm.Region, error) {
	if len(n.Data) > skbMaxLen {
		return nil, fmt.Errorf("packet of %d bytes: at most %d: %w", len(n.Data), skbMaxLen, spec.EINVAL)
	}
	pkt, err := e.newPacket(n.Data, skbHeadroom, skbTailroom, vm.PermNone)
	if err != nil {
		return nil, err
	}
	pkt.sync = func() {}
	e.packet = pkt
	state, err := e.rt.kernelStruct("nf_hook_state", n.State)
	if err != nil {
		return nil, err
	}
	skb, err := e.rt.kernelStruct("sk_buff", append([]FieldValue{Number("len", uint64(len(n.Data)))}, n.SKB...))
	if err != nil {
		return nil, err
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, 16, vm.PermRead)
	if err != nil {
		return nil, err
	}
	b := e.rt.mem.Raw(ctx.Base, ctx.Size)
	binary.LittleEndian.PutUint64(b, state)
	binary.LittleEndian.PutUint64(b[8:], skb)
	return ctx, nil
}

func (n *Netfilter) finish(_ *Env, res *Result) { res.Packet = append([]byte(nil), n.Data...) }

// kernelStruct sets fields of the kernel object of a structure, all others to zero.
func (rt *Runtime) kernelStruct(name string, fields []FieldValue) (uint64, error) {
	t, err := types.TypeByName(rt.opts.Target, "struct "+name)
	if err != nil {
		return 0, err
	}
	addr, err := rt.kernelObject(t)
	if err != nil {
		return 0, err
	}
	seg := rt.mem.Foreign.Find(addr)
	clear(seg.Data)
	for _, v := range fields {
		off, size, err := types.FieldOffset(rt.opts.Target, "struct "+name, v.Name)
		if err != nil {
			return 0, err
		}
		copy(seg.Data[off:off+size], v.Data)
	}
	return addr, nil
}
