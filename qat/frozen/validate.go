package frozen

// This file says which networks are invalid.

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/exact"
)

// Validate reports the first thing that contradicts itself: names, indices, the
// order of layers, shapes, formats, parameters, the number and range of codes.
// Errors name the layer or the tensor and wrap ErrNetwork, or the reason given by
// package fakequant or by the layer kind. Run, Trace, Write and Read call it.
func (n *Network) Validate() error {
	if n == nil {
		return fmt.Errorf("%w: the network is nil", ErrNetwork)
	}
	if err := n.checkNames(); err != nil {
		return err
	}
	for i := range n.Tensors {
		if err := n.Tensors[i].check(); err != nil {
			return err
		}
	}
	if err := n.checkOrder(); err != nil {
		return err
	}
	if err := n.checkShapes(); err != nil {
		return err
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		if err := n.checkOperands(l); err != nil {
			return l.wrap(err)
		}
		if err := n.checkInfinite(l); err != nil {
			return l.wrap(err)
		}
	}
	return nil
}

// checkInfinite wants finite constants, but where an infinity means "none": a mask of
// -Inf added to scores, a bound, what a comparison looks at or a choice falls on.
func (n *Network) checkInfinite(l *Layer) error {
	if traits := nn.TraitsOf(l.Op.op()); traits.Infinite || traits.Moves {
		return nil
	}
	for k, at := range l.Inputs {
		t := &n.Tensors[at]
		if t.Const == nil || t.Quant != nil {
			continue
		}
		if i := kern.NotFinite(t.Const.Values); i >= 0 {
			return fmt.Errorf("%w: operand %d, constant %q, holds %v at %d: want finite numbers", ErrNetwork, k, t.Name, t.Const.Values[i], i)
		}
	}
	return nil
}

// reservedName is the key of the metadata in a safetensors file.
const reservedName = "__metadata__"

// checkNames wants names that are valid, unique, and still unique once the parts
// of a quantized tensor have become tensors of a file.
func (n *Network) checkNames() error {
	if len(n.Tensors) == 0 || len(n.Layers) == 0 {
		return fmt.Errorf("%w: %d tensors and %d layers, want at least one of each", ErrNetwork, len(n.Tensors), len(n.Layers))
	}
	tensors, layers := make(map[string]bool), make(map[string]bool)
	for i, t := range n.Tensors {
		if err := checkName("tensor", i, t.Name, tensors); err != nil {
			return err
		}
	}
	for i, l := range n.Layers {
		if err := checkName("layer", i, l.Name, layers); err != nil {
			return err
		}
	}
	stored := make(map[string]string)
	for _, e := range n.entries() {
		owner := n.Tensors[e.tensor].Name
		if e.name == reservedName {
			return fmt.Errorf("%w: tensor name %q is reserved: rename it", ErrNetwork, owner)
		}
		if first, ok := stored[e.name]; ok {
			return fmt.Errorf("%w: tensors %q and %q would both be stored as %q: rename one", ErrNetwork, first, owner, e.name)
		}
		stored[e.name] = owner
	}
	for k, v := range n.Notes {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("%w: note %q: want valid UTF-8", ErrNetwork, k)
		}
	}
	return nil
}

func checkName(what string, i int, name string, seen map[string]bool) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: %s %d has no name", ErrNetwork, what, i)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %s %d: the name %q is not valid UTF-8", ErrNetwork, what, i, name)
	case seen[name]:
		return fmt.Errorf("%w: two %ss have the name %q", ErrNetwork, what, name)
	}
	seen[name] = true
	return nil
}

// checkOrder walks the layers as a run does: every tensor that is read must have
// been written, and by one writer only.
func (n *Network) checkOrder() error {
	have := make([]bool, len(n.Tensors))
	for i, t := range n.Tensors {
		have[i] = t.Const != nil
	}
	if len(n.Inputs) == 0 || len(n.Outputs) == 0 {
		return fmt.Errorf("%w: %d inputs and %d outputs, want at least one of each", ErrNetwork, len(n.Inputs), len(n.Outputs))
	}
	for i, t := range n.Inputs {
		if t < 0 || t >= len(have) {
			return fmt.Errorf("%w: input %d: no tensor %d: there are %d", ErrNetwork, i, t, len(have))
		}
		if have[t] {
			return fmt.Errorf("%w: input %q is a constant or given twice", ErrNetwork, n.Tensors[t].Name)
		}
		have[t] = true
	}
	for i, t := range n.Tensors {
		if t.Default == nil {
			continue
		}
		if !slices.Contains(n.Inputs, i) {
			return fmt.Errorf("%w: tensor %q has a default and is no input", ErrNetwork, t.Name)
		}
		if d := float64(*t.Default); math.IsNaN(d) || math.IsInf(d, 0) {
			return fmt.Errorf("%w: input %q has the default %v, want a finite number", ErrNetwork, t.Name, d)
		}
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		if err := n.checkLayer(l, have); err != nil {
			return l.wrap(err)
		}
		have[l.Output] = true
	}
	for i, t := range n.Outputs {
		if t < 0 || t >= len(have) {
			return fmt.Errorf("%w: output %d: no tensor %d: there are %d", ErrNetwork, i, t, len(have))
		}
	}
	if i := slices.Index(have, false); i >= 0 {
		return fmt.Errorf("%w: tensor %q is no input, no constant and no layer's result", ErrNetwork, n.Tensors[i].Name)
	}
	return nil
}

func (n *Network) checkLayer(l *Layer, have []bool) error {
	// A pointer to a layer kind also has the method, and a nil one would panic in it.
	if l.Op == nil || reflect.TypeOf(l.Op).Kind() == reflect.Pointer {
		return fmt.Errorf("%w: operation %T: want one of this package's layer kinds, as a value", ErrNetwork, l.Op)
	}
	if err := nn.Check(l.Op.op()); err != nil {
		return err
	}
	if l.Act != nil {
		if err := nn.Check(nn.Unary(*l.Act)); err != nil {
			return err
		}
	}
	for i, t := range l.Inputs {
		if t < 0 || t >= len(have) {
			return fmt.Errorf("%w: input %d: no tensor %d: there are %d", ErrNetwork, i, t, len(have))
		}
		if !have[t] {
			return fmt.Errorf("%w: reads tensor %q before any layer has written it", ErrNetwork, n.Tensors[t].Name)
		}
	}
	switch {
	case l.Output < 0 || l.Output >= len(have):
		return fmt.Errorf("%w: output: no tensor %d: there are %d", ErrNetwork, l.Output, len(have))
	case n.Tensors[l.Output].Const != nil:
		return fmt.Errorf("%w: writes the constant %q", ErrNetwork, n.Tensors[l.Output].Name)
	case have[l.Output]:
		return fmt.Errorf("%w: writes tensor %q, which is an input or another layer's result", ErrNetwork, n.Tensors[l.Output].Name)
	}
	return nil
}

// checkOperands wants operands that the layer's mode can compute with.
func (n *Network) checkOperands(l *Layer) error {
	if nn.TraitsOf(l.Op.op()).Weights == nil {
		return nil
	}
	if len(l.Inputs) == 3 {
		if b := &n.Tensors[l.Inputs[2]]; b.Quant != nil {
			return fmt.Errorf("%w: bias %q is quantized: leave it float", ErrNetwork, b.Name)
		}
	}
	x, w := &n.Tensors[l.Inputs[0]], &n.Tensors[l.Inputs[1]]
	if x.Quant == nil || w.Quant == nil {
		return nil
	}
	if !x.Quant.perTensor() {
		return fmt.Errorf("%w: the first operand %q is quantized %v: an integer %s wants it per_tensor",
			ErrNetwork, x.Name, x.Quant.Spec.Granularity, l.Op.Kind())
	}
	_, err := w.scales(l.Op)
	return err
}

// scales are those of a weight, for the integer products of op.
func (t *Tensor) scales(op Op) (exact.WeightScales, error) {
	s, err := exact.ScalesOf(op.op(), t.Name, t.Shape, exact.Quant(*t.Quant))
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	return s, err
}
