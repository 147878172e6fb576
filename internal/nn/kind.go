package nn

import (
	"reflect"
	"slices"
)

// family is all that a Go type of layers says about itself. Its file registers it;
// nothing else in the module knows kinds by name.
type family[T Op] struct {
	kinds  []string // every name that Kind may return
	inputs [2]int   // the fewest and the most inputs
	check  func(o T) error
	// shape is the output's, for settings and inputs that were checked; nil: that of
	// input 0.
	shape  func(o T, in [][]int) ([]int, error)
	traits func(o T) Traits // nil: the zero Traits
	batch  batchRule[T]     // nil: see [BatchAxis]
	f32    passes[T, float32]
	f64    passes[T, float64]
	// codes moves codes instead of numbers; for kinds with Traits.Moves. It need not
	// heed threads.
	codes func(o T, threads int, out Tensor[uint8], in []Tensor[uint8])
}

// passes are the two passes of a layer, on tensors that were checked; see [Forward] and
// [Backward]. At least one gradient is wanted when backward is called.
type passes[T Op, F Float] struct {
	forward  func(o T, out Tensor[F], in []Tensor[F]) error
	backward func(o T, grads, in []Tensor[F], out, dout Tensor[F]) error
}

// entry is a family without its type.
type entry struct {
	kinds  []string
	inputs [2]int
	check  func(Op) error
	shape  func(Op, [][]int) ([]int, error)
	traits func(Op) Traits
	batch  func(Op, *Growth) (int, error)
	decode func([]byte) (Op, error)
	f32    passes[Op, float32]
	f64    passes[Op, float64]
	codes  func(Op, int, Tensor[uint8], []Tensor[uint8])
}

var (
	entries = map[reflect.Type]*entry{} // by the type of the settings
	byKind  = map[string]*entry{}       // by the name of the kind
)

// register enters a family into the table. It is called while the package starts, so a
// mistake is the program's own and panics there.
func register[T Op](f family[T]) {
	e := &entry{kinds: f.kinds, inputs: f.inputs, decode: decode[T]}
	e.check = func(Op) error { return nil }
	if f.check != nil {
		e.check = func(op Op) error { return f.check(op.(T)) }
	}
	e.shape = func(_ Op, in [][]int) ([]int, error) { return slices.Clone(in[0]), nil }
	if f.shape != nil {
		e.shape = func(op Op, in [][]int) ([]int, error) { return f.shape(op.(T), in) }
	}
	e.traits = func(Op) Traits { return Traits{} }
	if f.traits != nil {
		e.traits = func(op Op) Traits { return f.traits(op.(T)) }
	}
	e.batch = func(_ Op, g *Growth) (int, error) { return g.In[0].Axis, nil }
	if f.batch != nil {
		e.batch = func(op Op, g *Growth) (int, error) { return f.batch(op.(T), g) }
	}
	if f.codes != nil {
		e.codes = func(op Op, threads int, out Tensor[uint8], in []Tensor[uint8]) { f.codes(op.(T), threads, out, in) }
	}
	e.f32, e.f64 = erase(f.f32), erase(f.f64)
	var t T
	entries[reflect.TypeOf(t)] = e
	for _, k := range f.kinds {
		if byKind[k] != nil {
			panic("nn: two layers of kind " + k)
		}
		byKind[k] = e
	}
}

func erase[T Op, F Float](p passes[T, F]) passes[Op, F] {
	return passes[Op, F]{
		forward: func(op Op, out Tensor[F], in []Tensor[F]) error { return p.forward(op.(T), out, in) },
		backward: func(op Op, grads, in []Tensor[F], out, dout Tensor[F]) error {
			return p.backward(op.(T), grads, in, out, dout)
		},
	}
}

// passesOf returns the passes of one element type.
func passesOf[F Float](e *entry) *passes[Op, F] {
	if p, ok := any(&e.f32).(*passes[Op, F]); ok {
		return p
	}
	return any(&e.f64).(*passes[Op, F])
}

// Kinds lists the names of all kinds, sorted.
func Kinds() []string {
	var all []string
	for k := range byKind {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// MoveCodes computes a layer with Traits.Moves on codes of one grid, at most threads
// goroutines at a time, GOMAXPROCS with 0. Codes have the order of the numbers that
// they stand for, so a maximum is one of codes. Shapes and lengths are those of
// [Forward] and known to be right. It reports false for layers of other kinds.
func MoveCodes(threads int, op Op, out Tensor[uint8], in []Tensor[uint8]) bool {
	e := entries[reflect.TypeOf(op)]
	if e == nil || e.codes == nil || !e.traits(op).Moves {
		return false
	}
	e.codes(op, threads, out, in)
	return true
}
