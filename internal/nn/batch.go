package nn

import (
	"fmt"
	"reflect"
)

// NoAxis marks a tensor that does not grow with the batch.
const NoAxis = -1

// Batched is an operand as the rules of the batch axis see it. The size of a batch axis
// is a multiple of the batch.
type Batched struct {
	Name  string // for errors
	Shape []int
	Axis  int // the batch axis, or NoAxis
}

// Growth is a layer whose inputs grow with the batch. Rules read In, Out and Batch and
// say in Want which axis of each input must be its batch axis. Want starts with input
// 0's own axis and NoAxis for the others.
type Growth struct {
	In    []Batched
	Out   []int // shape of the output
	Batch int   // size of the batch in these shapes
	Want  []int
}

// batchRule returns the batch axis of the output, NoAxis if it does not grow, given that
// some input grows.
type batchRule[T Op] func(o T, g *Growth) (int, error)

// BatchAxis returns the batch axis of a layer's output and the batch axes that the
// inputs must have, given those of some inputs. A kind without a rule of its own keeps
// the axis of input 0 and wants no other input to grow. Errors say why the layer has no
// open batch.
func BatchAxis(op Op, g Growth) (axis int, want []int, err error) {
	e := entries[reflect.TypeOf(op)]
	if e == nil {
		return NoAxis, nil, fmt.Errorf("goqat does not know how %T treats the batch", op)
	}
	g.Want = make([]int, len(g.In))
	for i := range g.Want {
		g.Want[i] = NoAxis
	}
	g.Want[0] = g.In[0].Axis
	axis, err = e.batch(op, &g)
	return axis, g.Want, err
}

// batchFirst is the rule of layers on images, whose batch is axis 0.
func batchFirst[T Op](_ T, g *Growth) (int, error) {
	a := g.In[0].Axis
	if a > 0 {
		return 0, fmt.Errorf("the batch is axis %d of %s and not its first", a, g.In[0].Name)
	}
	return a, nil
}
