package frozen

// This file says which way a layer is computed.

import (
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// chooseWay decides how layer i is computed and prepares what that needs.
func (n *Network) chooseWay(p *plan, i int) error {
	l, lp := &n.Layers[i], &p.layers[i]
	act, plain := clipOf(l.Act)
	switch t := nn.TraitsOf(lp.op); {
	case t.Moves:
		return n.chooseMoving(p, i)
	case t.Averages && lp.mode == Integer:
		lp.way = byAverage
	case t.Weights != nil && lp.mode == Integer:
		lp.way, lp.act = byProduct, act
		if !plain {
			f := nn.Unary(*l.Act).Func()
			lp.fn = &f
		}
		return n.prepareProduct(p, i)
	case t.Elementwise && n.allCodes(l):
		lp.way = byTable
		return n.prepareTables(p, i)
	}
	if op, ok := l.Op.(Binary); ok && nn.Binary(op).OnCodes() && plain && n.allCodes(l) {
		lp.way, lp.act = byPairing, act
	}
	return nil
}

// allCodes says that all operands and the result of a layer have codes on one grid
// each.
func (n *Network) allCodes(l *Layer) bool {
	ok := n.Tensors[l.Output].Quant.perTensor()
	for _, t := range l.Inputs {
		ok = ok && n.Tensors[t].Quant.perTensor()
	}
	return ok
}

// chooseMoving moves codes where everything has codes: also where the result has
// another grid or an activation, because each real number then depends on one code.
func (n *Network) chooseMoving(p *plan, i int) error {
	if !n.allCodes(&n.Layers[i]) {
		return nil
	}
	p.layers[i].way = byMoving
	if p.layers[i].mode == Codes {
		return nil
	}
	return n.prepareTables(p, i)
}

// prepareTables makes the table of each operand: what the layer, its activation
// and the result's grid make of each code.
func (n *Network) prepareTables(p *plan, i int) error {
	l := &n.Layers[i]
	out := p.tensors[l.Output].grid
	for _, t := range l.Inputs {
		var table [256]uint8
		x, y := make([]float32, len(table)), make([]float32, len(table))
		for u := range x {
			x[u] = kern.DequantizeOne(int32(u), p.tensors[t].grid)
		}
		var fns []Op
		if nn.TraitsOf(l.Op.op()).Elementwise {
			fns = append(fns, l.Op)
		}
		if l.Act != nil {
			fns = append(fns, *l.Act)
		}
		for _, fn := range fns {
			shape := []int{len(table)}
			if err := nn.Forward(fn.op(), nn.Tensor[float32]{Shape: shape, Data: y}, []nn.Tensor[float32]{{Shape: shape, Data: x}}); err != nil {
				return err
			}
			x, y = y, x
		}
		kern.Quantize(table[:], x, out)
		p.layers[i].tables = append(p.layers[i].tables, &table)
	}
	return nil
}

// clipOf returns the limits that an activation is, NoClip for none; false when it is
// something else.
func clipOf(act *Unary) (kern.Clip, bool) {
	l, ok := nn.ClipOf((*nn.Unary)(act))
	return kern.Clip{Lo: float32(l.Lo), Hi: float32(l.Hi)}, ok
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
