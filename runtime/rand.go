package runtime

// Rand is the generator behind bpf_get_prandom_u32: one state for each CPU, as
// in the kernel (kernel/bpf/core.c, bpf_user_rnd_u32; lib/random32.c). The
// algorithm is the same too, L'Ecuyer's LFSR113 (a combined Tausworthe generator
// of period 2^113); only the seeding differs, because a run must be repeatable:
// the four words of CPU n come from SplitMix64 started at seed + n.
type Rand struct {
	cpus [][4]uint32
}

// NewRand makes the generators of a number of CPUs.
func NewRand(seed uint64, cpus int) *Rand {
	r := &Rand{cpus: make([][4]uint32, cpus)}
	r.Seed(seed)
	return r
}

// lfsrMin are the smallest words that do not make a component degenerate: the
// lowest 1, 3, 4 and 7 bits are not part of its state.
var lfsrMin = [4]uint32{2, 8, 16, 128}

// Seed starts all generators again.
func (r *Rand) Seed(seed uint64) {
	for i := range r.cpus {
		state := seed + uint64(i)
		for j := range r.cpus[i] {
			state += 0x9e3779b97f4a7c15
			z := state
			z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
			z = (z ^ z>>27) * 0x94d049bb133111eb
			w := uint32(z ^ z>>31)
			if w < lfsrMin[j] {
				w += lfsrMin[j]
			}
			r.cpus[i][j] = w
		}
	}
}

// Uint32 returns the next number of a CPU.
func (r *Rand) Uint32(cpu int) uint32 {
	s := &r.cpus[cpu]
	s[0] = s[0]&^1<<18 ^ (s[0]<<6^s[0])>>13
	s[1] = s[1]&^7<<2 ^ (s[1]<<2^s[1])>>27
	s[2] = s[2]&^15<<7 ^ (s[2]<<13^s[2])>>21
	s[3] = s[3]&^127<<13 ^ (s[3]<<3^s[3])>>12
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}
