package frozen

import (
	"sync"

	"github.com/goqat/goqat/internal/kern"
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
	mode   Mode
	weight weightScales // of an Integer convolution or matrix product
}

type tensorPlan struct {
	// quantized says that the tensor exists as codes on grid; a constant with more
	// than one scale has no grid.
	quantized bool
	grid      kern.Grid
	// centred and values are a constant's q - zero_point and its real values,
	// each only where a layer or the caller reads it.
	centred []int16
	values  []float32
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
			p.tensors[i].grid = q.grid()
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
	l := &n.Layers[i]
	mode := n.Mode(i)
	p.layers[i].mode = mode
	for k, t := range l.Inputs {
		p.tensors[t].last = i
		need := n.needValues
		if mode == Codes || mode == Integer && k < 2 {
			need = n.needCodes
		}
		if err := need(p, t); err != nil {
			return err
		}
	}
	if mode != Integer || len(l.Inputs) < 2 {
		return nil
	}
	var err error
	p.layers[i].weight, err = scalesOf(l.Op, &n.Tensors[l.Inputs[1]])
	return err
}

// needCodes unpacks a constant's codes; other tensors get theirs in the run.
func (n *Network) needCodes(p *plan, t int) (err error) {
	if n.Tensors[t].Const != nil && p.tensors[t].centred == nil {
		p.tensors[t].centred, err = n.Tensors[t].centred()
	}
	return err
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
