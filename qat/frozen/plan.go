package frozen

// This file says when a network is prepared, and which tensors need what.

import (
	"github.com/goqat/goqat/internal/kern"
)

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
