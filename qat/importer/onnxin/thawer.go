package onnxin

// What is a frozen network while it is being read?

import (
	"fmt"

	"github.com/goqat/goqat/qat/frozen"
)

// thawer builds a frozen network of a file's nodes.
type thawer struct {
	*builder
	net     *frozen.Network
	tensors map[string]int  // tensor of each value, and of its codes
	quiet   map[*node]bool  // nodes that are part of an earlier layer
	swapped map[string]bool // weights with their channels in ONNX's order
	lasts   map[*node]*node // of a layer of several nodes the last, by the first
	// shapes are those of all tensors at two batches; dimensions that differ are open.
	shapes [2][][]int
}

// batches are the sizes that shapes are computed for. 1 would broadcast.
var batches = [2]int{2, 3}

// add adds a tensor with its shapes at both batches.
func (t *thawer) add(x frozen.Tensor, shapes [2][]int) int {
	t.net.Tensors = append(t.net.Tensors, x)
	for k := range shapes {
		t.shapes[k] = append(t.shapes[k], shapes[k])
	}
	return len(t.net.Tensors) - 1
}

// addConst adds a constant under its name.
func (t *thawer) addConst(x frozen.Tensor, err error) (int, error) {
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	i := t.add(x, [2][]int{x.Shape, x.Shape})
	t.tensors[x.Name] = i
	return i, nil
}

// tensor returns the tensor of a value; initializers become constants when first used.
func (t *thawer) tensor(name string) (int, error) {
	if i, ok := t.tensors[name]; ok {
		return i, nil
	}
	v := t.values[name]
	if v == nil {
		return 0, fmt.Errorf("%w: %q is used before it is made, or by nothing that goqat knows", ErrFormat, name)
	}
	c, err := t.constant(v)
	if err != nil {
		return 0, err
	}
	data, err := c.floats()
	if err != nil {
		return 0, fmt.Errorf("tensor %q: %w", name, err)
	}
	return t.addConst(frozen.NewConst(name, c.shape, data, nil))
}

// maker returns the live node that makes a value, or nil.
func (t *thawer) maker(name string) *node { return t.makers[name] }

// end is the name of the layer's result before its activation: behind the bias of a
// product, the squeeze of a slice or the product of a silu, which are nodes of their own.
func (t *thawer) end(n *node) string {
	if last := t.lasts[n]; last != nil {
		return last.pb.Output[0]
	}
	end := n.pb.Output[0]
	u := t.onlyUser(end)
	if u != nil && t.quiet[u] && (u.op == "Add" || u.op == "Squeeze" || u.op == "Mul") {
		return u.pb.Output[0]
	}
	return end
}
