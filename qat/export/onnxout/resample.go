package onnxout

// This file says how borders and resampled images are written.

import (
	"fmt"
	"math"
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

// resize emits a Resize with a scale for every axis, 1 for those that stay, which leaves the
// batch open and which runtimes keep when they move axes. Where a runtime would round such a
// scale to another size, it has the sizes of the axes that change, and the policy that gives
// all of them one scale.
func (b *builder) resize(l *frozen.Layer, o frozen.Resize, in, out string) error {
	attrs := []*onnxpb.AttributeProto{stringAttr("mode", o.Mode), stringAttr("coordinate_transformation_mode", o.Coordinates)}
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
	shape := b.net.Tensors[l.Inputs[0]].Shape
	scales, fits := slices.Repeat([]float32{1}, len(shape)), true
	var ratios []float32
	for k, a := range o.Axes {
		n := float32(shape[a])
		ratios = append(ratios, float32(o.Size[k])/n)
		if scales[a] = ratios[k]; o.Scale != nil {
			scales[a] = float32(o.Scale[k])
		}
		fits = fits && int(scales[a]*n) == o.Size[k]
	}
	if fits {
		b.emit("Resize", l.Name, []string{in, "", b.constant(floats(l.Name+"_scales", []int{len(scales)}, scales))}, out, attrs...)
		return nil
	}
	if o.Scale != nil {
		policy := aspect(o, shape, ratios)
		if policy == "" {
			return fmt.Errorf("%w: resize of axes %v of shape %v by %v gives other sizes than %v: leave out the scales, or choose sizes that they give",
				ErrUnsupported, o.Axes, shape, o.Scale, o.Size)
		}
		attrs = append(attrs, stringAttr("keep_aspect_ratio_policy", policy))
	}
	sizes := b.constant(ints(l.Name+"_sizes", o.Size...))
	b.emit("Resize", l.Name, []string{in, "", "", sizes}, out, append(attrs, intsAttr("axes", o.Axes...))...)
	return nil
}

// aspect is the policy that makes one scale of all ratios of sizes, as o has it, with sizes
// that are rounded; empty if there is none.
func aspect(o frozen.Resize, shape []int, ratios []float32) string {
	one := float32(o.Scale[0])
	for k, a := range o.Axes {
		if float32(o.Scale[k]) != one || o.Size[k] != int(math.Floor(float64(one*float32(shape[a]))+0.5)) {
			return ""
		}
	}
	switch one {
	case slices.Min(ratios):
		return "not_larger"
	case slices.Max(ratios):
		return "not_smaller"
	}
	return ""
}
