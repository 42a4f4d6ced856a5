package runtime

import (
	"encoding/binary"
	"math/bits"

	"bpfvm/spec"
)

func init() {
	registerKfunc("bpf_iter_num_new", spec.RetInteger, "iter:8 any any", iterNumNew)
	registerKfunc("bpf_iter_num_next", spec.RetBTFIDOrNull, "iter:8", iterNumNext)
	registerKfunc("bpf_iter_num_destroy", spec.RetVoid, "iter:8", iterNumDestroy)
	registerKfunc("bpf_iter_bits_new", spec.RetInteger, "iter:16 any any", iterBitsNew)
	registerKfunc("bpf_iter_bits_next", spec.RetBTFIDOrNull, "iter:16", iterBitsNext)
	registerKfunc("bpf_iter_bits_destroy", spec.RetVoid, "iter:16", iterBitsDestroy)
}

// The number iterator is struct bpf_iter_num_kern{int cur, end} in the program's
// stack (kernel/bpf/bpf_iter.c); cur is what was given last.

// iterNumNew is bpf_iter_num_new(it, start, end): start up to but without end, at
// most BPF_MAX_LOOPS numbers. On failure the iterator is empty.
func iterNumNew(e *Env, it, start, end, _, _ uint64) (uint64, error) {
	b, err := e.write(it, 8)
	if err != nil {
		return 0, err
	}
	clear(b)
	first, last := int64(int32(start)), int64(int32(end))
	switch {
	case first > last:
		return spec.EINVAL.Ret(), nil
	case last-first > maxLoops:
		return spec.E2BIG.Ret(), nil
	}
	binary.LittleEndian.PutUint32(b, uint32(first-1))
	binary.LittleEndian.PutUint32(b[4:], uint32(last))
	return 0, nil
}

// iterNumNext is bpf_iter_num_next(it): the address of the number, inside the
// iterator, or NULL at the end.
func iterNumNext(e *Env, it, _, _, _, _ uint64) (uint64, error) {
	b, err := e.write(it, 8)
	if err != nil {
		return 0, err
	}
	next, end := int32(binary.LittleEndian.Uint32(b)+1), int32(binary.LittleEndian.Uint32(b[4:]))
	if next >= end {
		clear(b)
		return 0, nil
	}
	binary.LittleEndian.PutUint32(b, uint32(next))
	return it, nil
}

// iterNumDestroy is bpf_iter_num_destroy(it).
func iterNumDestroy(e *Env, it, _, _, _, _ uint64) (uint64, error) {
	b, err := e.write(it, 8)
	clear(b)
	return 0, err
}

// bitsWordsMax is BITS_ITER_NR_WORDS_MAX (kernel/bpf/helpers.c).
const bitsWordsMax = 511

// The bit iterator is struct bpf_iter_bits_kern{u64 bits; int nr_bits; int bit}
// (kernel/bpf/helpers.c). bits is the one word itself or the address of a copy.

// iterBitsNew is bpf_iter_bits_new(it, words, n): the set bits of n words of 64
// bits, which are copied.
func iterBitsNew(e *Env, it, words, n, _, _ uint64) (uint64, error) {
	n = uint64(uint32(n))
	b, err := e.write(it, 16)
	if err != nil {
		return 0, err
	}
	clear(b)
	binary.LittleEndian.PutUint32(b[12:], ^uint32(0))
	switch {
	case words == 0 || n == 0:
		return spec.EINVAL.Ret(), nil
	case n > bitsWordsMax:
		return spec.E2BIG.Ret(), nil
	case n == 1:
		if errno := e.probeFill(b[:8], words, kernelSpace); errno != 0 {
			return spec.EFAULT.Ret(), nil
		}
	default:
		addr, errno := e.rt.heap.alloc(e.rt, 8*n, objBits)
		if errno != 0 {
			return spec.ENOMEM.Ret(), nil
		}
		if errno := e.probeFill(e.rt.mem.Raw(addr, 8*n), words, kernelSpace); errno != 0 {
			e.rt.heap.release(e.rt, addr)
			return errno.Ret(), nil
		}
		if b, err = e.write(it, 16); err != nil { // the arena may have moved
			return 0, err
		}
		binary.LittleEndian.PutUint64(b, addr)
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(64*n))
	return 0, nil
}

// iterBitsNext is bpf_iter_bits_next(it): the address of the number of the next set
// bit, inside the iterator, or NULL.
func iterBitsNext(e *Env, it, _, _, _, _ uint64) (uint64, error) {
	b, err := e.write(it, 16)
	if err != nil {
		return 0, err
	}
	n, bit := int64(binary.LittleEndian.Uint32(b[8:])), int64(int32(binary.LittleEndian.Uint32(b[12:])))
	if n == 0 || bit >= n {
		return 0, nil
	}
	words := b[:8]
	if n > 64 {
		if words, err = e.read(binary.LittleEndian.Uint64(b), uint64(n/64*8)); err != nil {
			return 0, err
		}
	}
	bit = nextBit(words, max(bit+1, 0))
	binary.LittleEndian.PutUint32(b[12:], uint32(bit))
	if bit >= n {
		return 0, nil
	}
	return it + 12, nil
}

// nextBit is find_next_bit: the first set bit of little-endian words from a
// position on, or their number of bits.
func nextBit(words []byte, from int64) int64 {
	size := int64(len(words)) * 8
	for ; from < size; from = (from | 63) + 1 {
		w := binary.LittleEndian.Uint64(words[from/64*8:]) >> (from % 64)
		if w != 0 {
			return from + int64(bits.TrailingZeros64(w))
		}
	}
	return size
}

// iterBitsDestroy is bpf_iter_bits_destroy(it).
func iterBitsDestroy(e *Env, it, _, _, _, _ uint64) (uint64, error) {
	b, err := e.read(it, 16)
	if err == nil && binary.LittleEndian.Uint32(b[8:]) > 64 {
		err = e.freeObject(binary.LittleEndian.Uint64(b), objBits)
	}
	return 0, err
}
