package packedout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat/frozen"
)

// linear is a layer that fits: y = x·wᵀ + bias with w [out, in].
type linear struct {
	layer, module string
	out, in       int
	bits          int
	group         int       // inputs per scale, in for one group
	codes         []int32   // [out, in], signed
	scale         []float32 // [out, in/group]
	zero          []int32   // the same shape, signed
	bias          *frozen.Tensor
}

// linearOf returns the layer as a linear one, or the reason why it is none.
func linearOf(n *frozen.Network, l *frozen.Layer) (*linear, error) {
	op, ok := l.Op.(frozen.MatMul)
	if !ok {
		return nil, fmt.Errorf("it belongs to a layer of kind %s; only linear layers can be packed", l.Op.Kind())
	}
	w := &n.Tensors[l.Inputs[1]]
	switch {
	case w.Const == nil || w.Quant == nil:
		return nil, errors.New("it is the left factor of its product; a linear layer has it on the right")
	case op.TransA:
		return nil, errors.New("its product transposes the other factor; a linear layer does not")
	case len(w.Shape) != 2:
		return nil, fmt.Errorf("it has shape %v; a linear layer has a matrix", w.Shape)
	}
	outAxis := 1
	if op.TransB {
		outAxis = 0
	}
	r := &linear{layer: l.Name, module: moduleOf(w.Name, l.Name), out: w.Shape[outAxis], in: w.Shape[1-outAxis], bits: bitsOf(w.Quant.Spec)}
	var err error
	if r.group, err = groupOf(w.Quant.Spec, outAxis, r.in); err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.module, "re:") {
		return nil, fmt.Errorf("the config would take the module name %q for a regular expression; rename the layer", r.module)
	}
	if len(l.Inputs) == 3 {
		if r.bias = &n.Tensors[l.Inputs[2]]; r.bias.Const == nil {
			return nil, errors.New("its bias is computed; a linear layer has a constant one")
		}
	}
	return r, r.fill(w, op.TransB)
}

// moduleOf is the name of a weight without its last part.
func moduleOf(weight, layer string) string {
	if m, ok := strings.CutSuffix(weight, ".weight"); ok && m != "" {
		return m
	}
	return layer
}

// bitsOf is the width in the file: readers know 4 and 8.
func bitsOf(s fakequant.Spec) int {
	if s.Packed() {
		return 4
	}
	return 8
}

// groupOf returns how many inputs share a scale.
func groupOf(s fakequant.Spec, outAxis, in int) (int, error) {
	axis := s.Axis
	if axis < 0 {
		axis += 2
	}
	switch {
	case s.Granularity == fakequant.PerTensor, s.Granularity == fakequant.PerChannel && axis == outAxis:
		return in, nil
	case s.Granularity == fakequant.PerChannel:
		return 0, errors.New("it has a scale for each input channel; the layout has scales for output channels")
	case axis == outAxis:
		return 0, errors.New("its blocks lie along the output channels; the layout has groups of inputs")
	case in%s.BlockSize != 0:
		return 0, fmt.Errorf("its blocks of %d do not divide the %d inputs; choose a block size that does", s.BlockSize, in)
	}
	return s.BlockSize, nil
}

// fill reads codes, scales and zero points of the constant w as [out, in].
func (r *linear) fill(w *frozen.Tensor, outFirst bool) error {
	codes, err := w.Codes()
	if err != nil {
		return err
	}
	q := w.Quant
	layout, err := q.Spec.Layout(w.Shape)
	if err != nil {
		return err
	}
	group := make([]int, len(codes)) // of each element, as the network has them
	layout.Runs(func(lo, hi, first, step int) {
		for i := lo; i < hi; i++ {
			group[i] = first + (i-lo)*step
		}
	})
	shift := int32(0)
	if q.Spec.Unsigned {
		shift = 1 << (r.bits - 1)
	}
	r.codes = make([]int32, len(codes))
	for o := range r.out {
		for i := range r.in {
			at := i*r.out + o
			if outFirst {
				at = o*r.in + i
			}
			r.codes[o*r.in+i] = codes[at] - shift
			if i%r.group == 0 {
				r.scale = append(r.scale, q.Params.Scale[group[at]])
				r.zero = append(r.zero, q.Params.ZeroPoint[group[at]]-shift)
			}
		}
	}
	return nil
}

// groups is the number of scales of an output channel.
func (r *linear) groups() int { return r.in / r.group }

// symmetric reports whether all zero points are 0.
func (r *linear) symmetric() bool {
	for _, z := range r.zero {
		if z != 0 {
			return false
		}
	}
	return true
}

// tensors returns what the file holds of the layer but the bias.
func (r *linear) tensors() []safetensors.Tensor {
	shape := []int{r.out, r.groups()}
	ts := []safetensors.Tensor{
		packRows(r.module+".weight_packed", r.codes, r.out, r.in, r.bits),
		safetensors.FromInt64s(r.module+".weight_shape", []int{2}, []int64{int64(r.out), int64(r.in)}),
		safetensors.FromFloat32s(r.module+".weight_scale", shape, r.scale),
	}
	if !r.symmetric() {
		ts = append(ts, packColumns(r.module+".weight_zero_point", r.zero, r.out, r.groups(), r.bits))
	}
	return ts
}

// packRows packs signed codes [rows, cols] along the rows into I32 [rows, ⌈cols·bits/32⌉].
func packRows(name string, codes []int32, rows, cols, bits int) safetensors.Tensor {
	words := (cols*bits + 31) / 32
	return pack(name, []int{rows, words}, codes, bits, func(i int) (word, place int) {
		row, col := i/cols, i%cols
		return row*words + col*bits/32, col * bits % 32
	})
}

// packColumns packs them down the columns into I32 [⌈rows·bits/32⌉, cols].
func packColumns(name string, codes []int32, rows, cols, bits int) safetensors.Tensor {
	words := (rows*bits + 31) / 32
	return pack(name, []int{words, cols}, codes, bits, func(i int) (word, place int) {
		row, col := i/cols, i%cols
		return row*bits/32*cols + col, row * bits % 32
	})
}

// pack puts code i, made positive, where at says: never across two words, as bits is 4
// or 8.
func pack(name string, shape []int, codes []int32, bits int, at func(i int) (word, place int)) safetensors.Tensor {
	words := make([]uint32, shape[0]*shape[1])
	for i, c := range codes {
		word, place := at(i)
		words[word] |= uint32(c+1<<(bits-1)) << place
	}
	data := make([]byte, 0, 4*len(words))
	for _, w := range words {
		data = binary.LittleEndian.AppendUint32(data, w)
	}
	return safetensors.Tensor{Name: name, DType: safetensors.I32, Shape: shape, Data: data}
}
