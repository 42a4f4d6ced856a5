package isatest

import "testing"

func TestMustAssemble(t *testing.T) {
	if p := MustAssemble(t, "r0 = 1 ll\nexit"); len(p) != 3 {
		t.Errorf("%d slots, want 3", len(p))
	}
}
