package runtime

import (
	"encoding/binary"
	"math/bits"
)

// jhashInit is the arbitrary starting value of Bob Jenkins' lookup3 hash as the
// kernel uses it (include/linux/jhash.h, JHASH_INITVAL).
const jhashInit = 0xdeadbeef

// jhash is the hash of the kernel's hash maps (kernel/bpf/hashtab.c,
// htab_map_hash): Bob Jenkins' lookup3 with seed 0. The kernel draws a random
// seed for each map unless BPF_F_ZERO_SEED is given; here it is always 0, so
// that a map is walked in the same order in every run, and in the order in which
// the kernel walks a map with that flag.
//
// The kernel hashes keys of whole words with jhash2 and others with jhash; on a
// little-endian machine both give the same number.
func jhash(key []byte) uint32 {
	const a = jhashInit + 4
	switch len(key) { // most keys are one or two words
	case 4:
		return jhashFinal(a+binary.LittleEndian.Uint32(key), a, a)
	case 8:
		return jhashFinal(a+4+binary.LittleEndian.Uint32(key), a+4+binary.LittleEndian.Uint32(key[4:]), a+4)
	}
	return jhashSeed(key, 0)
}

// jhashSeed is jhash with another seed.
func jhashSeed(key []byte, seed uint32) uint32 {
	a := uint32(jhashInit) + uint32(len(key)) + seed
	b, c := a, a
	for len(key) > 12 {
		a += binary.LittleEndian.Uint32(key)
		b += binary.LittleEndian.Uint32(key[4:])
		c += binary.LittleEndian.Uint32(key[8:])
		a, b, c = jhashMix(a, b, c)
		key = key[12:]
	}
	if len(key) == 0 {
		return c
	}
	var last [12]byte
	copy(last[:], key)
	a += binary.LittleEndian.Uint32(last[0:])
	b += binary.LittleEndian.Uint32(last[4:])
	c += binary.LittleEndian.Uint32(last[8:])
	return jhashFinal(a, b, c)
}

// jhashWords hashes 64-bit numbers, low half first, as jhash2 does.
func jhashWords(words []uint64) uint32 {
	n := 2 * len(words)
	at := func(i int) uint32 { return uint32(words[i/2] >> (i % 2 * 32)) }
	a := uint32(jhashInit) + uint32(4*n)
	b, c := a, a
	i := 0
	for ; n-i > 3; i += 3 {
		a, b, c = jhashMix(a+at(i), b+at(i+1), c+at(i+2))
	}
	switch n - i {
	case 3:
		return jhashFinal(a+at(i), b+at(i+1), c+at(i+2))
	case 2:
		return jhashFinal(a+at(i), b+at(i+1), c)
	case 1:
		return jhashFinal(a+at(i), b, c)
	}
	return c
}

func jhashMix(a, b, c uint32) (uint32, uint32, uint32) {
	rot := bits.RotateLeft32
	a = a - c ^ rot(c, 4)
	c += b
	b = b - a ^ rot(a, 6)
	a += c
	c = c - b ^ rot(b, 8)
	b += a
	a = a - c ^ rot(c, 16)
	c += b
	b = b - a ^ rot(a, 19)
	a += c
	c = c - b ^ rot(b, 4)
	b += a
	return a, b, c
}

func jhashFinal(a, b, c uint32) uint32 {
	rot := bits.RotateLeft32
	c = (c ^ b) - rot(b, 14)
	a = (a ^ c) - rot(c, 11)
	b = (b ^ a) - rot(a, 25)
	c = (c ^ b) - rot(b, 16)
	a = (a ^ c) - rot(c, 4)
	b = (b ^ a) - rot(a, 14)
	return (c ^ b) - rot(b, 24)
}
