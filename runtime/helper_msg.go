package runtime

import (
	"slices"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_msg_apply_bytes": msgApply,
		"bpf_msg_cork_bytes":  msgApply,
		"bpf_msg_pull_data":   msgPull,
		"bpf_msg_push_data":   msgPush,
		"bpf_msg_pop_data":    msgPop,
	}, spec.ProgSKMsg)
}

// msgRoom is by how many bytes a program can make a message longer.
const msgRoom = 4 * pageSize

// message is what an sk_msg program sees a part of: a list of fragments, which lie
// one behind the other here. data and data_end bound the first one, or what was
// asked for last (net/core/filter.c, bpf_msg_pull_data).
type message struct {
	size  uint64
	frags []uint64 // lengths
}

// msgApply is bpf_msg_apply_bytes(msg, bytes) and bpf_msg_cork_bytes: they say for
// how many bytes the verdict holds, and how many must come before the next.
func msgApply(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }

// bytes is the whole message.
func (m *message) bytes(e *Env) []byte { return e.rt.mem.Raw(e.packet.r.Base, m.size) }

// find returns the fragment that holds a byte, and where it begins.
func (m *message) find(at uint64) (i int, start uint64) {
	for i, n := range m.frags {
		if at < start+n {
			return i, start
		}
		start += n
	}
	return len(m.frags), start
}

// show sets data and data_end.
func (m *message) show(e *Env, start, end uint64) {
	base := e.packet.r.Base
	e.packet.move(base+start, base+start, base+end)
}

// first shows the first fragment.
func (m *message) first(e *Env) {
	n := uint64(0)
	if len(m.frags) > 0 {
		n = m.frags[0]
	}
	m.show(e, 0, n)
}

// msgPull is bpf_msg_pull_data(msg, start, end, flags): the bytes become one piece,
// and data and data_end bound them.
func msgPull(e *Env, _, start, end, flags, _ uint64) (uint64, error) {
	m, from, to := &e.msg, uint64(uint32(start)), uint64(uint32(end))
	if flags != 0 || to <= from || from >= m.size || to > m.size {
		return spec.EINVAL.Ret(), nil
	}
	i, _ := m.find(from)
	last, _ := m.find(to - 1)
	whole := uint64(0)
	for _, n := range m.frags[i : last+1] {
		whole += n
	}
	m.frags = slices.Replace(m.frags, i, last+1, whole)
	m.show(e, from, to)
	return 0, nil
}

// msgPush is bpf_msg_push_data(msg, start, len, flags): a new fragment of zeros.
func msgPush(e *Env, _, start, size, flags, _ uint64) (uint64, error) {
	m, at, n := &e.msg, uint64(uint32(start)), uint64(uint32(size))
	switch {
	case flags != 0:
		return spec.EINVAL.Ret(), nil
	case n == 0:
		return 0, nil
	case at > m.size:
		return spec.EINVAL.Ret(), nil
	case m.size+n > e.packet.r.Size:
		return spec.ENOMEM.Ret(), nil
	}
	b := e.rt.mem.Raw(e.packet.r.Base, m.size+n)
	copy(b[at+n:], b[at:m.size])
	clear(b[at : at+n])
	i, begin := m.find(at)
	if front := at - begin; i < len(m.frags) && front > 0 {
		m.frags = slices.Replace(m.frags, i, i+1, front, n, m.frags[i]-front)
	} else {
		m.frags = slices.Insert(m.frags, i, n)
	}
	m.size += n
	m.first(e)
	return 0, nil
}

// msgPop is bpf_msg_pop_data(msg, start, len, flags).
func msgPop(e *Env, _, start, size, flags, _ uint64) (uint64, error) {
	m, at, n := &e.msg, uint64(uint32(start)), uint64(uint32(size))
	switch {
	case flags != 0:
		return spec.EINVAL.Ret(), nil
	case n == 0:
		return 0, nil
	case at >= m.size || at+n > m.size:
		return spec.EINVAL.Ret(), nil
	}
	b := m.bytes(e)
	copy(b[at:], b[at+n:])
	begin := uint64(0)
	for i, l := range m.frags {
		// The part of the fragment that goes.
		gone := min(begin+l, at+n) - min(max(begin, at), begin+l)
		if begin >= at+n {
			gone = 0
		}
		m.frags[i] = l - gone
		begin += l
	}
	m.frags = slices.DeleteFunc(m.frags, func(l uint64) bool { return l == 0 })
	m.size -= n
	m.first(e)
	return 0, nil
}
