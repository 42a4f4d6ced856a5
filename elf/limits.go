package elf

import "fmt"

// A budget bounds the memory that reading an object may take. ELF lets many
// sections share the same bytes and many programs share the same subprogram, so
// a small file can describe an enormous result; everything that is copied out of
// the file or built from it is charged here before it is made.
type budget struct{ left int64 }

const (
	// budgetBase is what any object may use, budgetFactor what each of its bytes
	// adds: a 1 MiB object stays below 32 MiB of charged memory, and real
	// objects, whose largest parts are line texts, need a factor of 3 to 8.
	budgetBase   = 8 << 20
	budgetFactor = 24

	// maxFileSize is the largest object read. The largest known ones are below
	// 20 MiB.
	maxFileSize = 256 << 20

	// maxDataSize bounds .bss, whose bytes the file does not hold.
	maxDataSize = 24 << 20
)

func newBudget(size int64) *budget {
	return &budget{left: budgetBase + budgetFactor*size}
}

// take charges n elements of size bytes.
func (b *budget) take(what string, n, size int64) error {
	if n < 0 || size < 0 || (size > 0 && n > b.left/size) {
		return fmt.Errorf("%s: %d more bytes each for %d entries: %w", what, size, n, ErrTooLarge)
	}
	b.left -= n * size
	return nil
}
