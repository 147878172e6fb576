package frozen

// This file says how a network is shown.

import (
	"fmt"
	"strings"
)

// Size returns the bytes that the constants take as they are stored, with their
// scales (4 bytes each) and zero points (1 byte each), and the bytes that they
// would take as float32. A constant that several layers share counts once; file
// headers and the scales of activations do not count.
func (n *Network) Size() (bytes, floatBytes int) {
	for i := range n.Tensors {
		t := &n.Tensors[i]
		if t.Const == nil {
			continue
		}
		floatBytes += 4 * elements(t.Shape)
		bytes += len(t.Const.Codes) + 4*len(t.Const.Values)
		if t.Quant != nil {
			bytes += 4*len(t.Quant.Params.Scale) + len(t.Quant.Params.ZeroPoint)
		}
	}
	return bytes, floatBytes
}

// String describes the network, one line per layer: its name, kind, mode, operands
// and result. Of an invalid network it says what is wrong.
func (n *Network) String() string {
	if err := n.Validate(); err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	bytes, floatBytes := n.Size()
	fmt.Fprintf(&b, "frozen network: %d layers, %d bytes of constants (%d as float32)\n", len(n.Layers), bytes, floatBytes)
	for i := range n.Layers {
		l := &n.Layers[i]
		in := make([]string, len(l.Inputs))
		for k, t := range l.Inputs {
			in[k] = n.Tensors[t].text()
		}
		kind := l.Op.Kind()
		if l.Act != nil {
			kind += "+" + l.Act.Kind()
		}
		fmt.Fprintf(&b, "  %s: %s, %v: %s -> %s\n", l.Name, kind, n.Mode(i), strings.Join(in, ", "), n.Tensors[l.Output].text())
	}
	return b.String()
}

// text is a tensor's name, shape and format.
func (t *Tensor) text() string {
	format := "float32"
	if q := t.Quant; q != nil {
		format = q.Spec.DType()
		if !q.perTensor() {
			format += " " + q.Spec.Granularity.String()
		}
	}
	return fmt.Sprintf("%s %v %s", t.Name, t.Shape, format)
}
