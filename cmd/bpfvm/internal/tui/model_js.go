package tui

import (
	"context"
	"errors"
	"fmt"

	"bpfvm/debug"
)

// Run says that there is no terminal in a browser. Commands (-x) work there.
func Run(context.Context, *debug.Session, Options) error {
	return fmt.Errorf("the terminal screen: no terminal in js/wasm: %w", errors.ErrUnsupported)
}
