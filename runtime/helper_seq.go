package runtime

import (
	"fmt"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_seq_write":  seqWrite,
		"bpf_seq_printf": seqPrintf,
	})
}

// seqCap is the size of an iterator's seq_file (kernel/bpf/bpf_iter.c,
// bpf_seq_read: PAGE_SIZE << 3).
const seqCap = pageSize << 3

// checkSeq refuses an address that is not the run's seq_file.
func (e *Env) checkSeq(m uint64) error {
	if e.seq == 0 || m != e.seq {
		return fmt.Errorf("argument r1: %s is not the seq_file of the iterator", e.m.Mem.Symbolize(m))
	}
	return nil
}

// seqWrite is bpf_seq_write(m, data, len).
func seqWrite(e *Env, m, data, size, _, _ uint64) (uint64, error) {
	if err := e.checkSeq(m); err != nil {
		return 0, err
	}
	b, err := e.read(data, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	return e.seqAppend(b), nil
}

// seqPrintf is bpf_seq_printf(m, fmt, fmt_size, data, data_len): R0 is 0, -EOVERFLOW
// when the text does not fit.
func seqPrintf(e *Env, m, format, size, args, dataLen uint64) (uint64, error) {
	if err := e.checkSeq(m); err != nil {
		return 0, err
	}
	f, err := e.read(format, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	a, errno, err := e.printArgs(args, dataLen)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	text, _, errno := e.bprintf(f, a)
	if errno != 0 {
		return errno.Ret(), nil
	}
	return e.seqAppend([]byte(text)), nil
}

func (e *Env) seqAppend(b []byte) uint64 {
	if len(e.output)+len(b) > seqCap {
		return spec.EOVERFLOW.Ret()
	}
	e.output = append(e.output, b...)
	return 0
}
