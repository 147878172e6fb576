// Package kern holds the loops that everything numeric in this module runs on:
// quantization, float and integer products, convolutions, pooling and
// reductions, all on plain slices.
//
// Every function is portable Go with a fixed order of summation, so a result is
// the same on every processor and for every GOMAXPROCS. Callers check shapes;
// the functions here trust the lengths that their comments state.
package kern
