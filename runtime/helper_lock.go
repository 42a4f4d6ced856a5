package runtime

import (
	"encoding/binary"
	"errors"
)

func init() {
	register(map[string]helperFunc{
		"bpf_spin_lock":   spinLock,
		"bpf_spin_unlock": spinUnlock,
	})
}

// spinLock is bpf_spin_lock(lock). Runs follow each other here, so a lock is free
// unless the program itself holds it; then the kernel would wait for ever.
func spinLock(e *Env, lock, _, _, _, _ uint64) (uint64, error) {
	b, err := e.write(lock, 4)
	if err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(b) != 0 {
		return 0, errors.New("the lock is held already: deadlock")
	}
	binary.LittleEndian.PutUint32(b, 1)
	return 0, nil
}

// spinUnlock is bpf_spin_unlock(lock).
func spinUnlock(e *Env, lock, _, _, _, _ uint64) (uint64, error) {
	b, err := e.write(lock, 4)
	if err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(b) == 0 {
		return 0, errors.New("the lock is not held")
	}
	clear(b)
	return 0, nil
}
