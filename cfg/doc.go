// Package cfg finds the basic blocks of a program and how control flows between
// them: edges, dominators, natural loops.
//
// A block is a run of slots that is entered only at its first and left only at
// its last instruction. Calls do not end a block, since control comes back; the
// functions of a program are separate graphs.
//
//	0: r1 = 10          +-- block 0 ---+
//	1: r0 = 0           | 0..1         |
//	   loop:            +------+-------+
//	2: r0 += r1         +-- block 1 ---+<--+
//	3: r1 -= 1          | 2..4         |   | back edge
//	4: if r1 != 0 ------+------+-------+---+
//	5: exit             +-- block 2 ---+
//	                    | 5            |
//	                    +--------------+
//
// A [Picture] draws the blocks with their instructions, as characters, as SVG or for
// Graphviz; [Graph.Layout] finds the places.
//
// The package looks at instructions only; it does not know what they do.
package cfg
