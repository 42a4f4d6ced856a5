package cli

import (
	"context"
	"errors"
	"fmt"

	"bpfvm/vm"
)

// Exit codes, the same for every verb.
const (
	exitOK          = 0
	exitNegative    = 1
	exitUsage       = 2
	exitInput       = 3
	exitUnsupported = 4
	exitFault       = 5
	exitPrivilege   = 6
	exitBug         = 70
)

// exitMeaning explains each code, for help pages and JSON.
var exitMeaning = []struct {
	code       int
	word, text string
}{
	{exitOK, "ok", "fine"},
	{exitNegative, "negative", "a negative answer: an expectation failed, a check said no"},
	{exitUsage, "usage", "the command line is wrong"},
	{exitInput, "input", "bad input: the file is missing or malformed"},
	{exitUnsupported, "unsupported", "unsupported feature; the message names it"},
	{exitFault, "fault", "the program faulted while it ran"},
	{exitPrivilege, "privilege", "the kernel or a privilege is missing"},
	{exitBug, "bug", "a bug of bpfvm"},
}

func exitWord(code int) string {
	for _, m := range exitMeaning {
		if m.code == code {
			return m.word
		}
	}
	return ""
}

// errAnswered ends a verb whose negative answer is printed already.
var errAnswered = errors.New("negative answer")

// codeError gives an error its exit code.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

func usageErr(format string, args ...any) error {
	return &codeError{exitUsage, fmt.Errorf(format, args...)}
}

func inputErr(format string, args ...any) error {
	return &codeError{exitInput, fmt.Errorf(format, args...)}
}

func unsupportedErr(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errors.ErrUnsupported)...)
}

// withCode marks an error that is reported already, or whose type does not tell
// its code.
func withCode(code int, err error) error {
	if code == exitOK {
		return nil
	}
	return &codeError{code, err}
}

// exitCode maps an error to the exit code by its type. What has no type of its
// own comes from reading the input.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if ce, ok := errors.AsType[*codeError](err); ok {
		return ce.code
	}
	if t, ok := errors.AsType[*vm.Trap](err); ok {
		if t.Kind == vm.TrapStopped {
			return exitNegative
		}
		return exitFault
	}
	switch {
	case errors.Is(err, errAnswered), errors.Is(err, context.Canceled):
		return exitNegative
	case errors.Is(err, errors.ErrUnsupported):
		return exitUnsupported
	}
	return exitInput
}
