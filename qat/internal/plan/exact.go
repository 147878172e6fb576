package plan

// This file says how a float32 forward pass gives the sums of the integer network.

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/exact"
)

// forward is a float32 forward pass that may decline.
type forward = func(out nn.Tensor[float32], in []nn.Tensor[float32]) (bool, error)

// productHook makes the forward product of a layer exact: while both operands lie
// on integer grids it multiplies the codes, as the frozen network will. It
// declines while a quantizer is off, or while sites of a shared quantizer have
// quantized with different parameters.
func (e *Emitter) productHook(l *Layer) forward {
	x := e.Plan.Families[l.In[0]]
	if x == nil || !e.onGrid[l.In[0]] {
		return nil
	}
	wq := e.weightQuantizer(l)
	var site *fakequant.Site // of the weights
	if l.Weighted {
		if _, ok := l.Op.(nn.MatMul); ok { // others pack no bytes
			site = e.weightSite(l)
		}
	} else {
		w := e.Plan.Families[l.In[1]]
		if w == nil || !e.onGrid[l.In[1]] {
			return nil
		}
		wq = w.Quantizer
	}
	if wq == nil {
		return nil
	}
	name := wq.Name()
	product := func(out, x nn.Tensor[float32], xq exact.Quant, w nn.Tensor[float32], wq exact.Quant, codes []int8, bias []float32) error {
		return exact.Product(l.Op, out, x, xq, w, name, wq, codes, bias)
	}
	if site != nil && len(e.Plan.Users(l.Owner())) > 1 {
		shared := e.packed[l.Owner()]
		if shared == nil {
			shared = &exact.Weights{}
			e.packed[l.Owner()] = shared
		}
		product = func(out, x nn.Tensor[float32], xq exact.Quant, w nn.Tensor[float32], wq exact.Quant, codes []int8, bias []float32) error {
			return shared.Product(site.Passes(), l.Op, out, x, xq, w, name, wq, codes, bias)
		}
	}
	return func(out nn.Tensor[float32], in []nn.Tensor[float32]) (bool, error) {
		xp, ok := e.used(l.In[0])
		if !ok {
			return false, nil
		}
		wp, ok := wq.Used()
		if !l.Weighted {
			wp, ok = e.used(l.In[1])
		}
		if !ok {
			return false, nil
		}
		var codes []int8
		if site != nil {
			codes, _ = site.Codes(in[1].Data)
		}
		var bias []float32
		if len(in) > 2 {
			bias = in[2].Data
		}
		xquant, wquant := exact.Quant{Spec: x.Quantizer.Spec(), Params: xp}, exact.Quant{Spec: wq.Spec(), Params: wp}
		return true, product(out, in[0], xquant, in[1], wquant, codes, bias)
	}
}

// averageHook is productHook for average pooling.
func (e *Emitter) averageHook(l *Layer) forward {
	x := e.Plan.Families[l.In[0]]
	if x == nil || !e.onGrid[l.In[0]] {
		return nil
	}
	return func(out nn.Tensor[float32], in []nn.Tensor[float32]) (bool, error) {
		xp, ok := e.used(l.In[0])
		if !ok {
			return false, nil
		}
		return true, exact.Average(l.Op, out, in[0], exact.Quant{Spec: x.Quantizer.Spec(), Params: xp})
	}
}

// used returns the parameters that a quantized activation was quantized with in this
// run. Only the sites that feed it are asked: others of the same quantizer may not
// have run yet. It declines while a site passes values on, and where sites whose
// values are joined have quantized with different parameters.
func (e *Emitter) used(v *graph.Value) (fakequant.Params, bool) {
	if site := e.Plan.Families[v].Sites[v]; site != nil {
		return site.Used()
	}
	var first fakequant.Params
	for i, in := range e.Plan.Maker[v].In {
		p, ok := e.used(in)
		if !ok || (i > 0 && (p.Scale[0] != first.Scale[0] || p.ZeroPoint[0] != first.ZeroPoint[0])) {
			return fakequant.Params{}, false
		}
		first = p
	}
	return first, true
}
