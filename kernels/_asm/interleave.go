package main

import (
	"github.com/mmcloughlin/avo/ir"
)

// Vectors of an unrolled loop are independent of each other, and each is a long chain of instructions that wait for one another: written one
// after the other, a CPU finds the next chain only when its schedulers have taken up all of the first. So their instructions take turns.

// The marks between which instructions take turns.
const (
	markVector = "interleave: a vector"
	markEnd    = "interleave: end"
)

// interleave lets the instructions of marked sequences take turns and removes the marks.
func interleave(f *ir.Function) {
	var nodes []ir.Node
	var sequences [][]ir.Node
	for _, n := range f.Nodes {
		c, ok := n.(*ir.Comment)
		switch {
		case ok && c.Lines[0] == markVector:
			sequences = append(sequences, nil)
		case ok && c.Lines[0] == markEnd:
			nodes = append(nodes, takeTurns(sequences)...)
			sequences = nil
		case len(sequences) > 0:
			last := len(sequences) - 1
			sequences[last] = append(sequences[last], n)
		default:
			nodes = append(nodes, n)
		}
	}
	f.Nodes = nodes
}

func takeTurns(sequences [][]ir.Node) (nodes []ir.Node) {
	for i := 0; ; i++ {
		left := false
		for _, s := range sequences {
			if i < len(s) {
				nodes = append(nodes, s[i])
				left = true
			}
		}
		if !left {
			return nodes
		}
	}
}
