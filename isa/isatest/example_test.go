package isatest_test

import (
	"fmt"
	"testing"

	"bpfvm/isa/isatest"
)

func ExampleMustAssemble() {
	var t testing.T // in a test: its own t
	fmt.Println(len(isatest.MustAssemble(&t, "r0 = 1 ll\nexit")), "slots")
	// Output: 3 slots
}
