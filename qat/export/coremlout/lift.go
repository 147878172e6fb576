package coremlout

// This file says how small scales keep their precision in float16.

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
)

// liftOf returns how the scales of constant t are lifted where they are below 2^-14, the
// smallest binary16 of full precision, which hardware may take for 0; nil where they need not or
// cannot be. They can where nothing but products reads it.
func (b *builder) liftOf(t int) *lift {
	if l, ok := b.lifts[t]; ok {
		return l
	}
	l := b.findLift(t)
	b.lifts[t] = l
	return l
}

func (b *builder) findLift(t int) *lift {
	tensor := &b.net.Tensors[t]
	if b.float != mlpb.DataType_FLOAT16 || tensor.Const == nil || tensor.Quant == nil || slices.Contains(b.net.Outputs, t) {
		return nil
	}
	axis := -1
	for i := range b.net.Layers {
		l := &b.net.Layers[i]
		if !slices.Contains(l.Inputs, t) {
			continue
		}
		a, ok := b.channelAxis(l)
		if !ok || l.Inputs[1] != t || l.Inputs[0] == t || len(l.Inputs) > 2 && l.Inputs[2] == t || axis >= 0 && a != axis {
			return nil
		}
		axis = a
	}
	w, err := weightOf(tensor)
	if err != nil || axis < 0 {
		return nil
	}
	return w.findLift(axis)
}

// channelAxis is the axis of the output channels in the weights of a product whose
// results can be multiplied behind it.
func (b *builder) channelAxis(l *frozen.Layer) (axis int, ok bool) {
	switch o := l.Op.(type) {
	case frozen.Conv:
		return 0, true
	case frozen.MatMul:
		if o.TransB {
			return 0, b.isLinear(l, o)
		}
		return 1, b.isLinear(l, o)
	}
	return 0, false
}

// isLinear reports whether a product is a fully connected layer to Core ML.
func (b *builder) isLinear(l *frozen.Layer, o frozen.MatMul) bool {
	return b.isConst(l.Inputs[1]) && !o.TransA && len(b.shapes[l.Inputs[0]]) == 2
}

// channel is the output channel of a scale; 0 for all if they share it.
func (w *weight) channel(axis, scale int) int {
	return scale / elements(w.params[axis+1:]) % w.params[axis]
}

func (w *weight) findLift(axis int) *lift {
	n := w.shape[axis]
	l, small := &lift{axis, make([]float32, n), make([]float32, n)}, make([]float32, w.params[axis])
	for i, s := range w.scale {
		if c := w.channel(axis, i); small[c] == 0 || s < small[c] {
			small[c] = s
		}
	}
	any := false
	for c := range n {
		l.up[c], l.down[c] = 1, 1
		_, e := math.Frexp(float64(small[min(c, len(small)-1)])) // the scale is from 2^(e-1) to 2^e
		if k := -13 - e; k > 0 && k <= 14 {                      // down has to be normal, too
			l.up[c], l.down[c], any = float32(math.Ldexp(1, k)), float32(math.Ldexp(1, -k)), true
		}
	}
	if !any {
		return nil
	}
	return l
}

// lift multiplies the scales.
func (w *weight) lift(l *lift) {
	if l == nil {
		return
	}
	w.scale = slices.Clone(w.scale)
	for i := range w.scale {
		w.scale[i] *= l.up[w.channel(l.axis, i)]
	}
}
