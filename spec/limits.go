package spec

import "strconv"

// Limit is a number that the kernel sets, with its source.
type Limit struct {
	Name   string // the Go constant: "MaxStack"
	Value  int64
	Unit   string // "bytes"
	Kernel string // the kernel's symbol: "MAX_BPF_STACK"
	Source string // the file that defines it
	Doc    string
}

// Limits returns all limits in the order of limits.txt. The slice is shared: do
// not change it.
func Limits() []Limit { return limits[:] }

// Errno is an error number. Helpers and bpf(2) return it negated; a program sees
// it as the signed value of R0.
type Errno int32

// ErrnoInfo describes an error number.
type ErrnoInfo struct {
	Errno Errno
	Name  string // "ENOENT"
	Doc   string // what it means to a BPF user
}

// Errnos returns the error numbers that the table has, by number. The slice is
// shared: do not change it.
func Errnos() []ErrnoInfo { return errnos[:] }

// String returns the name, "ENOENT"; numbers without an entry print as "errno 999".
func (e Errno) String() string {
	for i := range errnos {
		if errnos[i].Errno == e {
			return errnos[i].Name
		}
	}
	return "errno " + strconv.Itoa(int(e))
}

// Error makes an Errno usable as a Go error; errors.Is compares by number.
func (e Errno) Error() string { return e.String() }

// Ret returns what a helper that fails so leaves in R0: the negated number as an
// unsigned 64-bit value.
func (e Errno) Ret() uint64 { return uint64(e.Neg()) }

// Neg returns the negative number, as functions of the kernel return it.
func (e Errno) Neg() int64 { return -int64(e) }

// ErrnoName returns "-ENOENT" for an R0 that holds a negated error number of the
// table, as a 64-bit value or, zero-extended, as a 32-bit one; else false.
func ErrnoName(r0 uint64) (string, bool) {
	v := int64(r0)
	if r0>>32 == 0 {
		v = int64(int32(r0))
	}
	if v >= 0 || v < -4095 {
		return "", false
	}
	for i := range errnos {
		if int64(errnos[i].Errno) == -v {
			return "-" + errnos[i].Name, true
		}
	}
	return "", false
}

// GPLCompatible reports whether the kernel counts the license string as
// compatible with the GPL, so that the program may call helpers marked GPLOnly
// (include/linux/license.h, license_is_gpl_compatible).
func GPLCompatible(license string) bool {
	switch license {
	case "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL":
		return true
	}
	return false
}
