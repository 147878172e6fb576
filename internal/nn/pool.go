package nn

import (
	"github.com/goqat/goqat/internal/kern"
)

// Pool is max or average pooling over windows of [N,C,H,W]; padding never wins a
// maximum. An average divides by the full window, padding included, unless
// ExcludePad is set, when it divides by the elements inside the image.
type Pool struct {
	Average    bool   `json:"average,omitempty"`
	Kernel     [2]int `json:"kernel"`
	Stride     [2]int `json:"stride"`
	Pad        [4]int `json:"pad"` // top, left, bottom, right; each less than the kernel
	ExcludePad bool   `json:"exclude_pad,omitempty"`
}

func (p Pool) Kind() string {
	if p.Average {
		return "avg_pool"
	}
	return "max_pool"
}

// GlobalAvgPool averages [N,C,H,W] over H and W into [N,C,1,1].
type GlobalAvgPool struct{}

func (GlobalAvgPool) Kind() string { return "global_avg_pool" }

func init() {
	register(family[Pool]{
		kinds: []string{"max_pool", "avg_pool"}, inputs: [2]int{1, 1},
		check: checkPool,
		shape: func(o Pool, in [][]int) ([]int, error) { return poolShape(o, in[0]) },
		traits: func(o Pool) Traits {
			return Traits{Moves: !o.Average, Quantized: true, Averages: o.Average, KeepsNonNegative: true, ChannelsApart: true,
				IgnoresInputs: o.Average, IgnoresOutput: o.Average}
		},
		batch: batchFirst[Pool],
		f32:   poolPasses[float32](), f64: poolPasses[float64](),
		codes: func(o Pool, threads int, out Tensor[uint8], in []Tensor[uint8]) {
			g := o.Geometry(in[0].Shape, out.Shape)
			kern.MaxPoolCodes(threads, &g, out.Data, in[0].Data)
		},
	})
	register(family[GlobalAvgPool]{
		kinds: []string{"global_avg_pool"}, inputs: [2]int{1, 1},
		shape: func(o GlobalAvgPool, in [][]int) ([]int, error) {
			x := in[0]
			if len(x) != 4 {
				return nil, shapeErr(o, "input has shape %v, want [N,C,H,W]", x)
			}
			return []int{x[0], x[1], 1, 1}, nil
		},
		traits: func(GlobalAvgPool) Traits {
			return Traits{Quantized: true, Averages: true, KeepsNonNegative: true, ChannelsApart: true, IgnoresInputs: true, IgnoresOutput: true}
		},
		batch: batchFirst[GlobalAvgPool],
		f32:   globalPasses[float32](), f64: globalPasses[float64](),
	})
}

func poolPasses[F Float]() passes[Pool, F] {
	return passes[Pool, F]{
		forward: func(o Pool, out Tensor[F], in []Tensor[F]) error {
			g := o.Geometry(in[0].Shape, out.Shape)
			if o.Average {
				kern.AvgPool(&g, out.Data, in[0].Data)
			} else {
				kern.MaxPool(&g, out.Data, in[0].Data)
			}
			return nil
		},
		backward: func(o Pool, grads, in []Tensor[F], out, dout Tensor[F]) error {
			g := o.Geometry(in[0].Shape, out.Shape)
			if o.Average {
				kern.AvgPoolBackward(&g, grads[0].Data, dout.Data)
			} else {
				kern.MaxPoolBackward(&g, grads[0].Data, in[0].Data, out.Data, dout.Data)
			}
			return nil
		},
	}
}

func globalPasses[F Float]() passes[GlobalAvgPool, F] {
	return passes[GlobalAvgPool, F]{
		forward: func(_ GlobalAvgPool, out Tensor[F], in []Tensor[F]) error {
			g := globalGeometry(in[0].Shape)
			kern.AvgPool(&g, out.Data, in[0].Data)
			return nil
		},
		backward: func(_ GlobalAvgPool, grads, in []Tensor[F], _, dout Tensor[F]) error {
			g := globalGeometry(in[0].Shape)
			kern.AvgPoolBackward(&g, grads[0].Data, dout.Data)
			return nil
		},
	}
}
func checkPool(o Pool) error {
	if o.Kernel[0] < 1 || o.Kernel[1] < 1 {
		return settingsErr(o, "kernel is %v, want at least 1", o.Kernel)
	}
	if max(o.Pad[0], o.Pad[2]) >= o.Kernel[0] || max(o.Pad[1], o.Pad[3]) >= o.Kernel[1] {
		return settingsErr(o, "padding %v must be less than the kernel %v, or a window could be empty", o.Pad, o.Kernel)
	}
	return checkWindow(o, o.Stride, o.Pad)
}

func poolShape(o Pool, x []int) ([]int, error) {
	if len(x) != 4 {
		return nil, shapeErr(o, "input has shape %v, want [N,C,H,W]", x)
	}
	oh, err := windows(o, "rows", x[2], o.Pad[0], o.Pad[2], o.Kernel[0], o.Stride[0], 1)
	if err != nil {
		return nil, err
	}
	ow, err := windows(o, "columns", x[3], o.Pad[1], o.Pad[3], o.Kernel[1], o.Stride[1], 1)
	if err != nil {
		return nil, err
	}
	return []int{x[0], x[1], oh, ow}, nil
}

// Geometry is the pooling of x into out, both shapes [N,C,H,W] that fit it.
func (o Pool) Geometry(x, out []int) kern.Pool {
	return kern.Pool{Planes: x[0] * x[1], H: x[2], W: x[3], OH: out[2], OW: out[3],
		Kernel: o.Kernel, Stride: o.Stride, Pad: o.Pad, ExcludePad: o.ExcludePad}
}

func globalGeometry(x []int) kern.Pool {
	return kern.Pool{Planes: x[0] * x[1], H: x[2], W: x[3], OH: 1, OW: 1,
		Kernel: [2]int{x[2], x[3]}, Stride: [2]int{1, 1}}
}
