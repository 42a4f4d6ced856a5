package cfg

import (
	"fmt"
	"slices"

	"bpfvm/isa"
)

// EdgeKind says how control follows an edge.
type EdgeKind uint8

// Kinds of edges.
const (
	Fallthrough EdgeKind = iota // to the next slot
	Taken                       // a condition that holds
	Jump                        // goto
)

// Edge leads from the block that holds it to another.
type Edge struct {
	To   int // index of the block
	Kind EdgeKind
}

// Block is a basic block: slots Start to End-1.
type Block struct {
	Start, End isa.PC
	Last       isa.PC // slot of the last instruction: End-1, or End-2 when that is LDDW
	Succs      []Edge // Fallthrough before Taken, in the order of the machine
	Preds      []int  // sorted, without repeats
}

// Graph is the control flow of one function. Blocks are sorted by Start; block 0
// is the entry.
type Graph struct {
	Prog   isa.Program
	Start  isa.PC // first slot of the function
	End    isa.PC // first slot after it
	Blocks []Block

	blockOf []int32 // slot minus Start -> block
}

// FlowError is control that leaves the function or enters the middle of a wide
// instruction.
type FlowError struct {
	PC  isa.PC
	Msg string
}

// Error says where and what.
func (e *FlowError) Error() string { return fmt.Sprintf("insn %d: %s", e.PC, e.Msg) }

// Build makes the graph of the function in slots start to end-1. The program must
// have passed [isa.Program.Check]. It returns the first *FlowError where control
// leaves these slots.
func Build(prog isa.Program, start, end isa.PC) (*Graph, error) {
	if start < 0 || end > isa.PC(len(prog)) || start >= end {
		return nil, &FlowError{PC: start, Msg: "function has no instructions"}
	}
	g := &Graph{Prog: prog, Start: start, End: end}
	leader, err := g.leaders()
	if err != nil {
		return nil, err
	}
	g.cut(leader)
	g.connect()
	return g, nil
}

// Succ returns the slots that may run after the instruction at pc, and how they
// are reached. Exit has none.
func Succ(prog isa.Program, pc isa.PC) (to [2]isa.PC, kind [2]EdgeKind, n int) {
	in := prog[pc]
	next := pc + 1
	if in.IsWide() {
		next++
	}
	if in.Op == isa.OpExit {
		return to, kind, 0
	}
	target, jumps := prog.JumpTarget(pc)
	if !jumps {
		to[0] = next
		return to, kind, 1
	}
	if in.Op == isa.OpJa || in.Op == isa.OpJa32 {
		to[0], kind[0] = target, Jump
		return to, kind, 1
	}
	to[0], to[1], kind[1] = next, target, Taken
	return to, kind, 2
}

// leaders marks the slots that begin a block.
func (g *Graph) leaders() ([]bool, error) {
	n := int(g.End - g.Start)
	leader := make([]bool, n)
	second := make([]bool, n) // second slots of wide instructions
	leader[0] = true
	for pc := g.Start; pc < g.End; pc++ {
		if g.Prog[pc].IsWide() {
			if pc+1 >= g.End {
				return nil, &FlowError{pc, "wide instruction is cut off"}
			}
			second[pc+1-g.Start] = true
			pc++
		}
	}
	for pc := g.Start; pc < g.End; pc++ {
		if second[pc-g.Start] {
			continue
		}
		to, kind, k := Succ(g.Prog, pc)
		for i := range k {
			t := to[i]
			switch {
			case kind[i] == Fallthrough && t >= g.End:
				return nil, &FlowError{pc, "last insn is not an exit or jmp"}
			case t < g.Start || t >= g.End:
				return nil, &FlowError{pc, fmt.Sprintf("jump out of range from insn %d to %d", pc, t)}
			case second[t-g.Start]:
				return nil, &FlowError{pc, fmt.Sprintf("jump from insn %d into the middle of the wide instruction at %d", pc, t-1)}
			}
			if kind[i] != Fallthrough || k == 2 {
				leader[t-g.Start] = true
			}
		}
		if k != 1 || kind[0] != Fallthrough { // control is split or ends here
			if next := pc + 1; next < g.End {
				leader[next-g.Start] = true
			}
		}
	}
	return leader, nil
}

func (g *Graph) cut(leader []bool) {
	g.blockOf = make([]int32, len(leader))
	for i, first := range leader {
		pc := g.Start + isa.PC(i)
		if first {
			g.Blocks = append(g.Blocks, Block{Start: pc})
		}
		b := &g.Blocks[len(g.Blocks)-1]
		b.End = pc + 1
		if i == 0 || first || !g.Prog[b.Last].IsWide() || b.Last != pc-1 {
			b.Last = pc
		}
		g.blockOf[i] = int32(len(g.Blocks) - 1)
	}
}

func (g *Graph) connect() {
	for i := range g.Blocks {
		b := &g.Blocks[i]
		to, kind, n := Succ(g.Prog, b.Last)
		for j := range n {
			t := g.BlockAt(to[j])
			b.Succs = append(b.Succs, Edge{t, kind[j]})
			if p := g.Blocks[t].Preds; !slices.Contains(p, i) {
				g.Blocks[t].Preds = append(p, i)
			}
		}
	}
}

// BlockAt returns the index of the block that contains the slot.
func (g *Graph) BlockAt(pc isa.PC) int { return int(g.blockOf[pc-g.Start]) }

// ReversePostorder returns the blocks reachable from the entry, each before its
// successors except along back edges.
func (g *Graph) ReversePostorder() []int {
	type visit struct{ block, next int }
	seen := make([]bool, len(g.Blocks))
	order := make([]int, 0, len(g.Blocks))
	stack := []visit{{0, 0}}
	seen[0] = true
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		succs := g.Blocks[top.block].Succs
		if top.next == len(succs) {
			order = append(order, top.block)
			stack = stack[:len(stack)-1]
			continue
		}
		// The last edge first, so that the fall-through comes directly after its
		// block in the reversed order.
		t := succs[len(succs)-1-top.next].To
		top.next++
		if !seen[t] {
			seen[t] = true
			stack = append(stack, visit{t, 0})
		}
	}
	slices.Reverse(order)
	return order
}

// Unreachable returns the first slots of the blocks that control never reaches.
func (g *Graph) Unreachable() []isa.PC {
	reached := make([]bool, len(g.Blocks))
	for _, b := range g.ReversePostorder() {
		reached[b] = true
	}
	var out []isa.PC
	for i, ok := range reached {
		if !ok {
			out = append(out, g.Blocks[i].Start)
		}
	}
	return out
}
