// Package graph holds a pair of programs: float trains a network in plain Gorgonia, and
// quantized is the same program with the few lines that quantize it.
//
//	go run ./examples/graph/float
//	go run ./examples/graph/quantized
package graph
