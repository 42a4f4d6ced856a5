// Package judge compares how bpfvm and github.com/cilium/ebpf link the same
// object: maps, and every function of every program slot by slot, after CO-RE.
//
// Both libraries read the object on their own; what they make of it is brought
// into one form, a list of slots in which references have names instead of the
// numbers that a loader fills in. Two slots are the same when all their bits and
// the name are. The few places where the libraries differ by design are counted
// apart, each under the reason why ([Explained]); anything else is a difference.
//
// cilium/ebpf corrects instructions on Linux only, so that this package judges
// programs with CO-RE relocations there and nowhere else.
package judge
