package onnxout

// This file says how borders and resampled images are written.

import (
	"slices"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
)

// pad emits a Pad with its amounts and its value as inputs, as ONNX has them since
// opset 11: first all amounts before, then all behind.
func (b *builder) pad(o frozen.Pad, name, in, out string) {
	args := []string{in, b.constant(ints(name+"_pads", slices.Concat(o.Before, o.After)...))}
	if o.Mode != "" {
		b.emit("Pad", name, args, out, stringAttr("mode", o.Mode))
		return
	}
	b.emit("Pad", name, append(args, b.constant(scalar(name+"_value", float32(o.Value)))), out)
}

// resize emits a Resize of the axes that change, which leaves the batch open. It has scales
// where they are not what the sizes say, else sizes.
func (b *builder) resize(o frozen.Resize, name, in, out string) {
	attrs := []*onnxpb.AttributeProto{stringAttr("mode", o.Mode), stringAttr("coordinate_transformation_mode", o.Coordinates), intsAttr("axes", o.Axes...)}
	if o.Nearest != "" {
		attrs = append(attrs, stringAttr("nearest_mode", o.Nearest))
	}
	if o.Mode == "cubic" {
		attrs = append(attrs, floatAttr("cubic_coeff_a", o.Cubic))
	}
	if o.Antialias {
		attrs = append(attrs, intAttr("antialias", 1))
	}
	if o.Inside {
		attrs = append(attrs, intAttr("exclude_outside", 1))
	}
	if o.Scale == nil {
		b.emit("Resize", name, []string{in, "", "", b.constant(ints(name+"_sizes", o.Size...))}, out, attrs...)
		return
	}
	scale := make([]float32, len(o.Scale))
	for i, v := range o.Scale {
		scale[i] = float32(v)
	}
	b.emit("Resize", name, []string{in, "", b.constant(floats(name+"_scales", []int{len(scale)}, scale))}, out, attrs...)
}
