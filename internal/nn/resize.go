package nn

import (
	"fmt"
	"math"
	"slices"
)

// Resize resamples some axes, one after the other. The words are those of ONNX's Resize.
type Resize struct {
	// Mode is nearest (results are elements of the input), linear or cubic.
	Mode string `json:"mode"`
	// Coordinates say where in the input an element of the result lies: half_pixel,
	// half_pixel_symmetric, pytorch_half_pixel, align_corners or asymmetric.
	Coordinates string `json:"coordinates"`
	// Nearest is floor, ceil, round_prefer_floor or round_prefer_ceil; empty in the other modes.
	Nearest string `json:"nearest,omitempty"`
	Axes    []int  `json:"axes"` // sorted, distinct; at least one
	Size    []int  `json:"size"` // of each of Axes in the result
	// Scale, if given, is the factor that coordinates are computed with, one for each of
	// Axes: it may be a little off Size divided by the size of the input, which is the default.
	Scale []float64 `json:"scale,omitempty"`
	Cubic float64   `json:"cubic,omitempty"` // the coefficient a of cubic, mostly -0.75 or -0.5
	// Antialias stretches the filter of linear and cubic where the result is smaller.
	Antialias bool `json:"antialias,omitempty"`
	// Inside leaves out taps outside of the input, which otherwise repeat the edge.
	Inside bool `json:"inside,omitempty"`
}

func (Resize) Kind() string { return "resize" }

func init() {
	register(family[Resize]{
		kinds: []string{"resize"}, inputs: [2]int{1, 1},
		check: checkResize,
		shape: func(o Resize, in [][]int) ([]int, error) {
			if err := checkAxis(o, o.Axes[len(o.Axes)-1], in[0]); err != nil {
				return nil, err
			}
			out := slices.Clone(in[0])
			for k, a := range o.Axes {
				if n := float64(out[a]); o.Scale != nil && math.Abs(n*o.Scale[k]-float64(o.Size[k])) > 1 {
					return nil, shapeErr(o, "axis %d of shape %v times %v is not %d", a, in[0], o.Scale[k], o.Size[k])
				}
				out[a] = o.Size[k]
			}
			return out, nil
		},
		traits: func(o Resize) Traits {
			t := moveTraits
			t.Moves, t.Quantized, t.Homogeneous = o.Mode == "nearest", true, true
			t.KeepsNonNegative = o.Mode != "cubic"
			t.ChannelsApart = len(o.Axes) > 0 && o.Axes[0] > 1
			return t
		},
		batch: func(o Resize, g *Growth) (int, error) {
			if slices.Contains(o.Axes, g.In[0].Axis) {
				return 0, fmt.Errorf("it resamples the batch axis of %s", g.In[0].Name)
			}
			return g.In[0].Axis, nil
		},
		f32: resizePasses[float32](), f64: resizePasses[float64](),
		codes: func(o Resize, threads int, out Tensor[uint8], in []Tensor[uint8]) {
			eachAxis(out.Data, in[0].Data, in[0].Shape, o.Axes, o.Size, func(dst, src []uint8, k, outer, n, inner int) {
				takeAxis(threads, dst, src, outer, n, inner, o.taps(k, n).at)
			})
		},
	})
}

var (
	resizeCoordinates = []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"}
	resizeNearest     = []string{"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"}
)

func checkResize(o Resize) error {
	switch o.Mode {
	case "nearest":
		if !slices.Contains(resizeNearest, o.Nearest) {
			return settingsErr(o, "nearest is %q, want one of %q", o.Nearest, resizeNearest)
		}
		if o.Antialias || o.Inside {
			return settingsErr(o, "antialias and inside are for linear and cubic")
		}
	case "linear", "cubic":
		if o.Nearest != "" {
			return settingsErr(o, "nearest is %q in mode %s", o.Nearest, o.Mode)
		}
	default:
		return settingsErr(o, "mode is %q, want nearest, linear or cubic", o.Mode)
	}
	if !slices.Contains(resizeCoordinates, o.Coordinates) {
		return settingsErr(o, "coordinates are %q, want one of %q", o.Coordinates, resizeCoordinates)
	}
	if len(o.Axes) == 0 || len(o.Size) != len(o.Axes) || o.Scale != nil && len(o.Scale) != len(o.Axes) {
		return settingsErr(o, "axes %v, sizes %v, scales %v: want as many of each, and one at least", o.Axes, o.Size, o.Scale)
	}
	for k, a := range o.Axes {
		if a < 0 || k > 0 && a <= o.Axes[k-1] || o.Size[k] < 1 || o.Size[k] > maxElements {
			return settingsErr(o, "axes %v, sizes %v: want sorted axes from 0 on and sizes of at least 1", o.Axes, o.Size)
		}
		if o.Scale != nil && !(o.Scale[k] >= minScale && o.Scale[k] <= 1/minScale) {
			return settingsErr(o, "scales %v: want %v to %v", o.Scale, minScale, 1/minScale)
		}
	}
	if math.IsNaN(o.Cubic) || math.Abs(o.Cubic) > 1e6 || o.Cubic != 0 && o.Mode != "cubic" {
		return settingsErr(o, "cubic is %v in mode %s: want a finite number, and 0 in other modes", o.Cubic, o.Mode)
	}
	return nil
}

// minScale bounds the taps of an element: a stretched filter has about 4/scale.
const minScale = 0x1p-20

// place returns where in an axis of n elements element j of axis k of the result lies. It
// computes in float32, as runtimes do: which element is nearest depends on it.
func (o Resize) place(k, n, j int) float64 {
	size := o.Size[k]
	scale := float32(size) / float32(n)
	if o.Scale != nil {
		scale = float32(o.Scale[k])
	}
	length := scale * float32(n) // before it was cut to a whole number
	half := float32((float32(j)+0.5)/scale) - 0.5
	switch o.Coordinates {
	case "asymmetric":
		return float64(float32(j) / scale)
	case "align_corners":
		if length == 1 || size == 1 {
			return 0
		}
		return float64(float32(j*(n-1)) / (length - 1))
	case "pytorch_half_pixel":
		if size == 1 {
			return 0
		}
	case "half_pixel_symmetric":
		adjust := float32(size) / length
		return float64(float32(float32(n)/2*(1-adjust)) + half)
	}
	return float64(half)
}

// nearest is the element that stands for a place.
func (o Resize) nearest(at float64) int {
	switch o.Nearest {
	case "ceil":
		at = math.Ceil(at)
	case "round_prefer_floor":
		at = math.Ceil(at - 0.5)
	case "round_prefer_ceil":
		at = math.Floor(at + 0.5)
	}
	return int(math.Floor(at))
}

// taps is the mix of axis k, which has n elements in the input.
func (o Resize) taps(k, n int) mix {
	m := mix{first: []int{0}}
	for j := range o.Size[k] {
		at := o.place(k, n, j)
		if o.Mode == "nearest" {
			m.at = append(m.at, min(max(o.nearest(at), 0), n-1))
			m.first = append(m.first, len(m.at))
			continue
		}
		scale := float64(o.Size[k]) / float64(n)
		if o.Scale != nil {
			scale = o.Scale[k]
		}
		if !o.Antialias || scale > 1 {
			scale = 1
		}
		o.filter(&m, at, scale, n)
	}
	return m
}

// filter appends the taps of one element: the weights are those of Mode at their distance
// from it, times scale, and sum to 1.
func (o Resize) filter(m *mix, at, scale float64, n int) {
	reach := 1.0
	if o.Mode == "cubic" {
		reach = 2
	}
	lo, hi := int(math.Ceil(at-reach/scale)), int(math.Floor(at+reach/scale))
	sum := 0.0
	start := len(m.at)
	for i := lo; i <= hi; i++ {
		w := o.weight(math.Abs(float64(i)-at) * scale)
		if w == 0 || o.Inside && (i < 0 || i >= n) {
			continue
		}
		m.at, m.weight = append(m.at, min(max(i, 0), n-1)), append(m.weight, w)
		sum += w
	}
	for i := start; i < len(m.at); i++ {
		m.weight[i] /= sum
	}
	m.first = append(m.first, len(m.at))
}

// weight is the filter at distance d: a triangle, or the cubic convolution of Keys (1981).
func (o Resize) weight(d float64) float64 {
	a := o.Cubic
	switch {
	case o.Mode == "linear":
		return max(1-d, 0)
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

func resizePasses[F Float]() passes[Resize, F] {
	return passes[Resize, F]{
		forward: func(o Resize, out Tensor[F], in []Tensor[F]) error {
			eachAxis(out.Data, in[0].Data, in[0].Shape, o.Axes, o.Size, func(dst, src []F, k, outer, n, inner int) {
				if m := o.taps(k, n); o.Mode == "nearest" {
					takeAxis(0, dst, src, outer, n, inner, m.at)
				} else {
					mixAxis(dst, src, outer, n, inner, m)
				}
			})
			return nil
		},
		backward: func(o Resize, grads, in []Tensor[F], _, dout Tensor[F]) error {
			backAxes(grads[0].Data, dout.Data, in[0].Shape, o.Axes, o.Size, func(dst, src []F, k, outer, n, inner int) {
				mixAxis(dst, src, outer, o.Size[k], inner, o.taps(k, n).turned(n))
			})
			return nil
		},
	}
}
