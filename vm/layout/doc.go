// Package layout says where structures lie in the arena that the runtime makes and
// that compilers reach without asking it: so far the elements of arrays.
//
//	handle    what a program has in R1: the address of an opaque region
//	element   Base + index*Stride, of CPU n: Distance*n further
//
// A layout is true for the life of the arena: maps do not move.
package layout
