package graph

import (
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which layers decode the boxes of a YOLO head? Gorgonia has one op for it, without a gradient.

// yolo reads YOLOv3 without targets (Redmon and Farhadi 2018, section 2.1): from [N,A·(5+C),G,G]
// to [N,G·G·A,5+C], boxes in pixels of the image, and probabilities.
func (r *reader) yolo(n *gorgonia.Node) *match {
	f := fieldsOf(n.Op())
	all, masks := f.floats("anchors"), f.ints("masks")
	size, classes := f.int("dimensions"), f.int("numClasses")
	s := r.kids[n][0].Shape()
	if f.bool("trainMode") || f.err != nil || len(s) != 4 || s[2] != s[3] || s[2] == 0 || len(masks)*(5+classes) != s[1] {
		return nil
	}
	h := yoloHead{classes: classes, grid: s[2], stride: float32(size / s[2])}
	wrong := "it overwrites its operand and has no gradient"
	for i, mask := range masks {
		if mask < 0 || 2*mask+1 >= len(all) {
			return nil
		}
		if mask != i {
			wrong = "it takes the first anchors instead of those that the masks name, overwrites its operand and has no gradient"
		}
		h.anchors = append(h.anchors, all[2*mask], all[2*mask+1])
	}
	return &match{out: n, args: r.kids[n], image: r.kids[n][0], wrong: wrong, emit: h.emit}
}

// yoloHead is what a head's layers need.
type yoloHead struct {
	classes, grid int
	anchors       []float32 // width and height of each, in pixels of the image
	stride        float32   // pixels of the image for one of the grid
}

func (h yoloHead) emit(e *emitter, in []*Value) (*Value, error) {
	each, boxes := len(h.anchors)/2, 5+h.classes
	rows := h.grid * h.grid * each
	var err error
	step := func(op nn.Op, in ...*Value) *Value {
		var v *Value
		if err == nil {
			v, err = e.aux(op, in...)
		}
		return v
	}
	part := func(x *Value, from, to int) *Value { return step(nn.Slice{Axis: 2, Start: from, End: to, Step: 1}, x) }
	n := in[0].Shape[0]
	x := step(nn.Reshape{Shape: []int{n, each * boxes, h.grid * h.grid}}, in[0])
	x = step(nn.Transpose{Perm: []int{0, 2, 1}}, x)
	x = step(nn.Reshape{Shape: []int{n, rows, boxes}}, x)
	places, sizes := make([]float32, 2*rows), make([]float32, 2*rows)
	for i := range rows {
		cell := i / each
		places[2*i], places[2*i+1] = float32(cell%h.grid), float32(cell/h.grid)
		for k := range 2 {
			sizes[2*i+k] = h.anchors[2*(i%each)+k] / h.stride
		}
	}
	xy := step(nn.Binary{Fn: "add"}, step(nn.Unary{Fn: "sigmoid"}, part(x, 0, 2)), e.constant(places, 1, rows, 2))
	wh := step(nn.Binary{Fn: "mul"}, step(nn.Unary{Fn: "exp"}, part(x, 2, 4)), e.constant(sizes, 1, rows, 2))
	box := step(nn.Binary{Fn: "mul"}, step(nn.Concat{Axis: 2}, xy, wh), e.constant([]float32{h.stride}, 1))
	rest := step(nn.Unary{Fn: "sigmoid"}, part(x, 4, boxes))
	if err != nil {
		return nil, err
	}
	return e.layer(nn.Concat{Axis: 2}, box, rest)
}
