package frozen

import (
	"fmt"
	"sync"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/exact"
)

// planCache holds what Run prepares once, and the buffers that runs share.
type planCache struct {
	once   sync.Once
	err    error
	plan   plan
	states sync.Pool // *state
}

// plan is a validated network in the form that runs fast. It is read only.
type plan struct {
	layers  []layerPlan
	tensors []tensorPlan
}

type layerPlan struct {
	op   nn.Op // of the layer, as kernels take it
	mode Mode
	way  way
	// weight and product belong to products of codes; product is nil where the
	// weights are a layer's result.
	weight  exact.WeightScales
	product *nn.IntLayer
	act     kern.Clip // the activation, where way takes it along
	tables  []*[256]uint8
}

// tensorPlan is what a run knows of a tensor.
type tensorPlan struct {
	// quantized says that the tensor exists as codes on grid, that of the biased
	// codes q - base; a constant with more than one scale has no grid.
	quantized bool
	grid      kern.Grid
	base      int32
	// codes and values are a constant's biased codes and its real values, each only
	// where a layer or the caller reads it.
	codes  []uint8
	values []float32
	// last is the index of the last layer that reads the tensor; len(Layers) for
	// outputs, -1 when none does.
	last int
}

// prepared validates the network and prepares its constants, once.
func (n *Network) prepared() (*plan, error) {
	if n == nil {
		return nil, n.Validate()
	}
	n.plan.once.Do(func() {
		if n.plan.err = n.Validate(); n.plan.err == nil {
			n.plan.err = n.prepare()
		}
	})
	return &n.plan.plan, n.plan.err
}

func (n *Network) prepare() error {
	p := plan{layers: make([]layerPlan, len(n.Layers)), tensors: make([]tensorPlan, len(n.Tensors))}
	for i := range n.Tensors {
		q := n.Tensors[i].Quant
		p.tensors[i] = tensorPlan{quantized: q != nil, last: -1}
		if q.perTensor() {
			g := q.grid()
			p.tensors[i].grid, p.tensors[i].base = g.Biased(), g.Qmin
		}
	}
	for i := range n.Layers {
		if err := n.prepareLayer(&p, i); err != nil {
			return n.Layers[i].wrap(err)
		}
	}
	for _, t := range n.Outputs {
		p.tensors[t].last = len(n.Layers)
		if err := n.needValues(&p, t); err != nil {
			return err
		}
	}
	n.plan.plan = p
	return nil
}

func (n *Network) prepareLayer(p *plan, i int) error {
	l, lp := &n.Layers[i], &p.layers[i]
	lp.op = l.Op.op()
	lp.mode = n.Mode(i)
	lp.act = kern.NoClip()
	if err := n.chooseWay(p, i); err != nil {
		return err
	}
	for k, t := range l.Inputs {
		p.tensors[t].last = i
		need := n.needValues
		switch {
		case lp.way == byProduct && k == 1:
			if n.Tensors[t].Const != nil {
				continue // packed in the product
			}
			need = n.needCodes
		case lp.way != byFloat && k < 2, lp.way == byMoving:
			need = n.needCodes
		}
		if err := need(p, t); err != nil {
			return err
		}
	}
	return nil
}

// scales are those of a weight, for the integer products of op.
func (t *Tensor) scales(op Op) (exact.WeightScales, error) {
	s, err := exact.ScalesOf(op.op(), t.Name, t.Shape, exact.Quant(*t.Quant))
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	return s, err
}

// prepareProduct packs constant weights.
func (n *Network) prepareProduct(p *plan, i int) (err error) {
	l, lp := &n.Layers[i], &p.layers[i]
	w := &n.Tensors[l.Inputs[1]]
	if lp.weight, err = w.scales(l.Op); err != nil || w.Const == nil {
		return err
	}
	if _, err := w.codes(); err != nil {
		return w.wrap(err)
	}
	lp.product = new(nn.IntLayer)
	return lp.product.Set(lp.op, p.tensors[l.Inputs[0]].grid, nn.IntWeights{Shape: w.Shape, Fill: w.centred,
		Scale: lp.weight.Scale, Blocks: lp.weight.Blocks, BlockSize: lp.weight.BlockSize, Nibbles: w.Quant.Spec.Packed()})
}

// needCodes unpacks a constant's codes; other tensors get theirs in the run.
func (n *Network) needCodes(p *plan, t int) error {
	if n.Tensors[t].Const == nil || p.tensors[t].codes != nil {
		return nil
	}
	codes, err := n.Tensors[t].Codes()
	if err != nil {
		return err
	}
	p.tensors[t].codes = make([]uint8, len(codes))
	for i, c := range codes {
		p.tensors[t].codes[i] = uint8(c - p.tensors[t].base)
	}
	return nil
}

// needValues makes a constant's real values.
func (n *Network) needValues(p *plan, t int) (err error) {
	switch c := n.Tensors[t].Const; {
	case c == nil || p.tensors[t].values != nil:
	case n.Tensors[t].Quant == nil:
		p.tensors[t].values = c.Values
	default:
		p.tensors[t].values, err = n.Tensors[t].Values()
	}
	return err
}
