package elf

import "fmt"

// A budget bounds the memory that reading an object may take. ELF lets many
// sections share the same bytes and many programs share the same subprogram, so
// a small file can describe an enormous result; everything that is copied out of
// the file or built from it is charged here before it is made.
type budget struct{ left int64 }

const (
	// budgetBase is what any object may use, budgetFactor what each of its bytes
	// adds: a 1 MiB object stays below 24 MiB of charged memory. Of 1800 real
	// objects none needs more than 8 bytes for each of its own.
	budgetBase   = 8 << 20
	budgetFactor = 16

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
		return fmt.Errorf("%s: %d times %d bytes: %w", what, n, size, ErrTooLarge)
	}
	b.left -= n * size
	return nil
}
