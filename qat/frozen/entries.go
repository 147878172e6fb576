package frozen

// This file says which parts of a tensor a file holds, and under which names.

import (
	"slices"

	"github.com/goqat/goqat/fakequant"
)

// entry is one tensor of a file: a constant's data, or the scales or zero points
// of a quantized tensor.
type entry struct {
	name   string
	tensor int // index into Tensors
	part   part
}

type part uint8

const (
	partValues part = iota // the values of a float constant, F32
	partCodes              // the codes of a quantized constant, I8 or U8
	partScale              // scales, F32
	partZero               // zero points, I8 or U8
)

// Suffixes of the stored parts of a quantized tensor.
const (
	codesSuffix = ".qweight"
	scaleSuffix = ".scale"
	zeroSuffix  = ".zero_point"
)

// entries lists what a file of the network holds, in the order of Tensors.
func (n *Network) entries() []entry {
	var list []entry
	for i, t := range n.Tensors {
		switch {
		case t.Const != nil && t.Quant == nil:
			list = append(list, entry{t.Name, i, partValues})
		case t.Const != nil:
			list = append(list, entry{t.Name + codesSuffix, i, partCodes})
		}
		if t.Quant != nil {
			list = append(list, entry{t.Name + scaleSuffix, i, partScale}, entry{t.Name + zeroSuffix, i, partZero})
		}
	}
	return list
}

// storedShape is the shape of an entry in a file. Packed codes are flat. The scales
// of an input or a result are one number, because its shape may be open.
func (n *Network) storedShape(e entry) ([]int, error) {
	t := &n.Tensors[e.tensor]
	switch {
	case e.part == partValues || e.part == partCodes && !t.Quant.Spec.Packed():
		return slices.Clone(t.Shape), nil
	case e.part == partCodes:
		count, err := fakequant.NumElements(t.Shape)
		return []int{fakequant.PackedLen(count)}, err
	case t.Const == nil:
		return []int{1}, nil
	}
	l, err := t.Quant.Spec.Layout(t.Shape)
	if err != nil {
		return nil, err
	}
	return slices.Clone(l.ParamShape()), nil
}
