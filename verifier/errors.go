package verifier

import (
	"errors"
	"fmt"
	"strings"

	"bpfvm/spec"
)

// Code is the stable number of a kind of refusal: "V012". Codes are added, never
// renumbered; Explain tells what each means.
type Code string

// rejection ends verification: the program is refused. Its text has been said.
type rejection struct {
	code  Code
	errno spec.Errno // where it is not the code's
}

func (e *rejection) Error() string { return "rejected: " + string(e.code) }

// NotModelledError names a feature of the kernel's verifier that this one does
// not have, met on a path of the program.
type NotModelledError struct {
	Feature string
}

func (e *NotModelledError) Error() string { return "not modelled: " + e.Feature }

// Unwrap makes errors.Is(err, errors.ErrUnsupported) hold.
func (e *NotModelledError) Unwrap() error { return errors.ErrUnsupported }

// reject says the kernel's text and returns the error that ends verification.
func (env *env) reject(code Code, format string, args ...any) error {
	env.say(format, args...)
	return &rejection{code: code}
}

func notModelled(format string, args ...any) error {
	return &NotModelledError{Feature: fmt.Sprintf(format, args...)}
}

// internalError says that the verifier contradicts itself: a bug of ours.
type internalError struct{ msg string }

func (e *internalError) Error() string { return "verifier bug: " + e.msg }

func bug(format string, args ...any) error {
	return &internalError{fmt.Sprintf(format, args...)}
}

// message joins what was said into the report's text, without the last newline.
func message(b []byte) string { return strings.TrimRight(string(b), "\n") }
