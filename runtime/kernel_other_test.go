//go:build !linux

package runtime_test

import "errors"

func pinToCPU(int) error { return errors.ErrUnsupported }
