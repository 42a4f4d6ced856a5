package runtime

import "fmt"

func init() {
	register(map[string]helperFunc{
		"bpf_ringbuf_reserve": ringbufReserve,
		"bpf_ringbuf_submit":  ringbufSubmit,
		"bpf_ringbuf_discard": ringbufDiscard,
		"bpf_ringbuf_output":  ringbufOutput,
		"bpf_ringbuf_query":   ringbufQuery,
	})
}

// ringBuf returns the ring buffer behind a handle.
func (e *Env) ringBuf(handle uint64) (*RingBuf, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return nil, err
	}
	if r, ok := m.self.(*RingBuf); ok {
		return r, nil
	}
	return nil, fmt.Errorf("map %q is no ring buffer", m.Name())
}

// ringbufReserve is bpf_ringbuf_reserve(map, size, flags): memory, or NULL.
func ringbufReserve(e *Env, handle, size, flags, _, _ uint64) (uint64, error) {
	m, err := e.ringBuf(handle)
	if err != nil || flags != 0 {
		return 0, err
	}
	return m.reserve(e.cpu, size), nil
}

func ringbufSubmit(e *Env, addr, flags, _, _, _ uint64) (uint64, error) {
	return 0, e.ringCommit(addr, flags, false)
}

func ringbufDiscard(e *Env, addr, flags, _, _, _ uint64) (uint64, error) {
	return 0, e.ringCommit(addr, flags, true)
}

func (e *Env) ringCommit(addr, flags uint64, discard bool) error {
	m, pos, err := e.rt.ringRecord(addr)
	if err != nil {
		return err
	}
	m.commit(pos, flags, discard)
	return nil
}

// ringbufOutput is bpf_ringbuf_output(map, data, size, flags).
func ringbufOutput(e *Env, handle, data, size, flags, _ uint64) (uint64, error) {
	m, err := e.ringBuf(handle)
	if err != nil {
		return 0, err
	}
	b, err := e.read(data, size)
	if err != nil {
		return 0, err
	}
	return m.output(e.cpu, b, flags).Ret(), nil
}

// ringbufQuery is bpf_ringbuf_query(map, what).
func ringbufQuery(e *Env, handle, what, _, _, _ uint64) (uint64, error) {
	m, err := e.ringBuf(handle)
	if err != nil {
		return 0, err
	}
	return m.query(what), nil
}
