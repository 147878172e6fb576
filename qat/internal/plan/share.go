package plan

// This file says which layers have the same weights, and so one quantizer, one set of
// codes and one constant.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/qconfig"
)

// Owner is the first layer that has l's weights in the form that l has them: often l
// itself. The quantizer, what post-training finds for the weights, and the constant of
// the frozen network are the owner's.
func (l *Layer) Owner() *Layer {
	if l.Shares != nil {
		return l.Shares
	}
	return l
}

// WeightValue is the value that holds the weights of a weighted layer or a table.
func (l *Layer) WeightValue() *graph.Value {
	if l.Table {
		return l.In[0]
	}
	return l.In[1]
}

// Users are l and the layers that share its weights, in network order.
func (p *Plan) Users(l *Layer) []*Layer {
	var ls []*Layer
	for _, u := range p.Layers {
		if u == l || u.Shares == l {
			ls = append(ls, u)
		}
	}
	return ls
}

// weightKey tells weights apart that have codes of their own: another memory, another
// axis, another format or other settings.
type weightKey struct {
	memory     string
	spec       fakequant.Spec
	set        qconfig.Tensor
	milestones qconfig.Milestones
}

// weightMemory names the tensor that the weights of l are, by the memory of the
// parameter that they are made of and the way from there.
func weightMemory(l *Layer) string {
	base, way := wayOf(l.WeightValue())
	if x, err := base.Floats(); err == nil && base.Role == graph.Param && len(x) > 0 {
		return fmt.Sprintf("%p %v %v", &x[0], base.Shape, way)
	}
	return fmt.Sprintf("%p %v", base, way)
}

// wayOf returns what v is a reordered or reshaped form of, and the shortest list of
// reshapes and transposes from there.
func wayOf(v *graph.Value) (base *graph.Value, way []nn.Op) {
	base = v.Base()
	var up []*graph.Value
	for ; v != base; v = v.Producer.In[0] {
		up = append(up, v)
	}
	shape := base.Shape // in front of way's last step
	var before [][]int
	for _, v := range slices.Backward(up) {
		op := v.Producer.Op
		if n := len(way); n > 0 {
			switch last := way[n-1].(type) {
			case nn.Reshape:
				if _, ok := op.(nn.Reshape); ok {
					way, shape, before = way[:n-1], before[n-1], before[:n-1]
				}
			case nn.Transpose:
				if t, ok := op.(nn.Transpose); ok {
					perm := make([]int, len(t.Perm))
					for i, p := range t.Perm {
						perm[i] = last.Perm[p]
					}
					op, way, shape, before = nn.Transpose{Perm: perm}, way[:n-1], before[n-1], before[:n-1]
				}
			}
		}
		if !leaves(op, shape, v.Shape) {
			way, before = append(way, op), append(before, shape)
		}
		shape = v.Shape
	}
	return base, way
}

// leaves reports whether a reshape or transpose leaves a tensor as it is.
func leaves(op nn.Op, from, to []int) bool {
	switch op := op.(type) {
	case nn.Reshape:
		return slices.Equal(from, to)
	case nn.Transpose:
		return slices.IsSorted(op.Perm)
	}
	return false
}

// own makes l the owner of its weights, or finds the layer that owns them already. A
// batch normalisation that is folded in makes weights of its own.
func (p *Plan) own(l *Layer, spec fakequant.Spec, owners map[weightKey]*Layer) {
	if l.BatchNorm != nil {
		return
	}
	key := weightKey{weightMemory(l), spec, l.Config.Weights, l.Config.Milestones}
	if o := owners[key]; o != nil {
		l.Shares = o
		return
	}
	owners[key] = l
}

// straighten takes what stands between a parameter and the product that reads it as its
// weights into the product, where that can be: a weight that some layers read transposed
// is one tensor.
func (p *Plan) straighten(l *Layer) {
	base, way := wayOf(l.In[1])
	op, ok := l.Op.(nn.MatMul)
	switch {
	case len(way) == 0:
		l.In = []*graph.Value{l.In[0], base}
	case ok && len(way) == 1 && len(base.Shape) == 2 && way[0].Kind() == "transpose":
		op.TransB = !op.TransB
		l.Op, l.In = op, []*graph.Value{l.In[0], base}
	}
}
