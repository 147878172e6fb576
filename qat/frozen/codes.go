package frozen

import (
	"fmt"

	"github.com/goqat/goqat/internal/par"
)

// moveCodes computes the layers of mode Codes: each output code is one of the
// input codes. Shapes are checked and all tensors share one grid, so centred codes
// have the order of the real numbers and 0 stays 0.
func moveCodes(op Op, out value, in []value) error {
	x := in[0]
	switch o := op.(type) {
	case Reshape, Dropout:
		copy(out.codes, x.codes)
	case Pool:
		maxPool(o, out, x)
	case Transpose:
		transpose(o, out, x)
	case Slice:
		slice(o, out, x)
	case Concat:
		concat(o, out, in)
	default:
		return fmt.Errorf("%w: %s does not pass codes on", ErrNetwork, op.Kind())
	}
	return nil
}

// maxPool takes the largest code of each window of [N,C,H,W] inside the image.
func maxPool(o Pool, out, x value) {
	h, w, oh, ow := x.shape[2], x.shape[3], out.shape[2], out.shape[3]
	par.For(x.shape[0]*x.shape[1], max(1, grain/(oh*ow*o.Kernel[0]*o.Kernel[1])), func(lo, hi int) {
		for plane := lo; plane < hi; plane++ {
			src, dst := x.codes[plane*h*w:][:h*w], out.codes[plane*oh*ow:][:oh*ow]
			for i := range dst {
				y, c := i/ow*o.Stride[0]-o.Pad[0], i%ow*o.Stride[1]-o.Pad[1]
				y1, c0, c1 := min(y+o.Kernel[0], h), max(c, 0), min(c+o.Kernel[1], w)
				y = max(y, 0)
				best := src[y*w+c0]
				for ; y < y1; y++ {
					for _, v := range src[y*w+c0 : y*w+c1] {
						best = max(best, v)
					}
				}
				dst[i] = best
			}
		}
	})
}

// transpose walks the output in order and jumps through the input.
func transpose(o Transpose, out, x value) {
	stride := make([]int, len(x.shape)) // of the input, per output axis
	for i, p := range o.Perm {
		stride[i] = elements(x.shape[p+1:])
	}
	index := make([]int, len(stride))
	at := 0
	for i := range out.codes {
		out.codes[i] = x.codes[at]
		for d := len(index) - 1; d >= 0; d-- {
			at += stride[d]
			if index[d]++; index[d] < out.shape[d] {
				break
			}
			at -= stride[d] * out.shape[d]
			index[d] = 0
		}
	}
}

// slice copies every Step-th group of elements behind the axis.
func slice(o Slice, out, x value) {
	inner, to := elements(x.shape[o.Axis+1:]), 0
	for row := range elements(x.shape[:o.Axis]) {
		for i := o.Start; i < o.End; i += o.Step {
			to += copy(out.codes[to:], x.codes[(row*x.shape[o.Axis]+i)*inner:][:inner])
		}
	}
}

// concat copies a stretch of each input in turn.
func concat(o Concat, out value, in []value) {
	to := 0
	for row := range elements(out.shape[:o.Axis]) {
		for _, x := range in {
			n := elements(x.shape[o.Axis:])
			to += copy(out.codes[to:], x.codes[row*n:][:n])
		}
	}
}
