package plan

// This file says how the quantizer of a tensor is made: format, observer, start.

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/observers"
	"github.com/goqat/goqat/qat/qconfig"
)

// makeQuantizer makes the quantizer of a family of activations, and its sites.
func (p *Plan) makeQuantizer(g *Family, d demand) error {
	cfg := d.set
	var sources []*graph.Value
	nonNegative := true
	for _, v := range g.Members {
		if p.isSource(v) {
			sources = append(sources, v)
			nonNegative = nonNegative && p.isNonNegative(v)
		}
	}
	spec := cfg.Spec(0, 0, nonNegative)
	obs, err := newObserver(cfg, spec, nonNegative)
	if err != nil {
		return &fakequant.LayerError{Layer: d.of, Err: fmt.Errorf("activations: %w", err)}
	}
	fixed, isFixed := p.fixedRange(sources, spec)
	if isFixed {
		spec, obs = fixed.spec, nil
	}
	if g.Quantizer, err = fakequant.New(sources[0].Name, spec, obs, nonNegative); err != nil {
		return err
	}
	if isFixed {
		if err := g.Quantizer.SetParams(fixed.params); err != nil {
			return err
		}
	}
	for _, v := range sources {
		g.Sites[v] = g.Quantizer.NewSite()
	}
	if isFixed {
		return nil
	}
	return p.learn(g.Quantizer, cfg, 1)
}

// learn makes a quantizer's parameters learnable where the settings say so.
func (p *Plan) learn(q *fakequant.Quantizer, t qconfig.Tensor, groups int) error {
	if t.Estimator != qconfig.LSQ {
		return nil
	}
	start := fakequant.InitObserver
	if t.ScaleInit == qconfig.InitLSQ {
		start = fakequant.InitLSQ
	}
	logScale, zero, err := q.Learn(groups, start)
	p.learned[q] = learnedMemory{logScale, zero}
	return err
}

type fixedParams struct {
	spec   fakequant.Spec
	params fakequant.Params
}

// maxFixedClasses is how many numbers that sum to 1 have a fixed range: more can all be
// below a few of its steps of 1/256, and lose their mass.
const maxFixedClasses = 64

// fixedRange gives functions with a known range their parameters, with zero point 0: the
// width of the range over 2^bits (sigmoid and softmax 1/2^bits, tanh 2/2^bits signed), as
// in Core ML Tools' backend configuration.
func (p *Plan) fixedRange(sources []*graph.Value, spec fakequant.Spec) (fixedParams, bool) {
	if len(sources) != 1 || p.Maker[sources[0]] == nil {
		return fixedParams{}, false
	}
	l := p.Maker[sources[0]]
	if l.rounds != nil {
		l = l.rounds
	}
	t := nn.TraitsOf(l.Op)
	if l.Act != nil {
		t = nn.TraitsOf(*l.Act)
	}
	if s, ok := l.Op.(nn.Softmax); t.Fixed == (nn.Interval{}) || ok && l.Out.Shape[s.Axis] > maxFixedClasses {
		return fixedParams{}, false
	}
	scale := float32(t.Fixed.Hi-t.Fixed.Lo) / float32(int(1)<<spec.Width())
	return fixedParams{
		spec:   fakequant.Spec{Bits: spec.Bits, Unsigned: t.Fixed.Lo == 0},
		params: fakequant.Params{Scale: []float32{scale}, ZeroPoint: []int32{0}},
	}, true
}

// isNonNegative reports whether the value cannot be negative, from what makes it.
func (p *Plan) isNonNegative(v *graph.Value) bool {
	l := p.Maker[v]
	if l == nil {
		return false
	}
	if l.rounds != nil {
		l = l.rounds
	}
	if l.Act != nil {
		return nn.TraitsOf(*l.Act).NonNegative
	}
	t := nn.TraitsOf(l.Op)
	return t.NonNegative || t.KeepsNonNegative &&
		!slices.ContainsFunc(l.In, func(v *graph.Value) bool { return !p.isNonNegative(v) })
}

// MaxTerms products of two centred codes, each at most 255 in magnitude, fit int32.
const MaxTerms = math.MaxInt32 / (255 * 255)

// placeWeights makes the quantizer of a layer's weights, or takes that of the layer
// that owns them.
func (p *Plan) placeWeights(l *Layer, owners map[weightKey]*Layer) error {
	if l.Weighted && nn.Terms(l.Op, l.In[0].Shape, l.In[1].Shape) > MaxTerms && !l.Config.Activations.Off {
		return nil // hasIntegerForm said why
	}
	n, err := fakequant.NumElements(l.WeightValue().Shape)
	if err != nil {
		return l.errorf("weights: %w", err)
	}
	if limit := l.Config.Weights.WeightThreshold; n <= limit {
		l.Why = fmt.Sprintf("%d weights, not more than the weight_threshold of %d", n, limit)
		return nil
	}
	if why := l.skipWeights(n); why != "" {
		l.Why = why
		return nil
	}
	out, in := l.WeightAxes()
	spec := l.Config.Weights.Spec(out, in, false)
	if spec.Granularity == fakequant.PerBlock {
		spec.BlockSize = min(spec.BlockSize, l.WeightValue().Shape[in])
	}
	if p.own(l, spec, owners); l.Shares != nil {
		l.WeightQuantizer, l.weightSite = l.Shares.WeightQuantizer, l.Shares.weightSite
		return nil
	}
	obs, err := newObserver(l.Config.Weights, spec, false)
	if err != nil {
		return l.errorf("weights: %w", err)
	}
	if l.WeightQuantizer, err = fakequant.New(l.Name+".weight", spec, obs, false); err != nil {
		return err
	}
	l.weightSite = l.WeightQuantizer.NewSite()
	layout, err := spec.Layout(l.WeightValue().Shape)
	if err != nil {
		return l.errorf("weights: %w", err)
	}
	return p.learn(l.WeightQuantizer, l.Config.Weights, layout.Groups())
}

// newObserver makes the observer that resolved settings name, for tensors of a format.
func newObserver(t qconfig.Tensor, s fakequant.Spec, nonNegative bool) (fakequant.Observer, error) {
	obs, err := observers.New(t.Observer)
	if err != nil {
		return nil, err
	}
	switch o := obs.(type) {
	case *observers.MovingAverage:
		o.Constant = t.AveragingConstant
	case *observers.EMA:
		o.Ratio = t.EMARatio
	case *observers.Percentile:
		o.Percentile = t.Percentile
	case *observers.Histogram:
		o.Bins = t.Bins
	case *observers.MSE:
		o.Bins = t.Bins
	case *observers.KL:
		o.Bins = t.Bins
	}
	if o, ok := obs.(observers.SpecSetter); ok {
		o.SetSpec(s, nonNegative)
	}
	return obs, nil
}

// smallestWeight is the least number of elements that Core ML Tools' weight passes
// compress at all, where a threshold is set (CO/_quantization_passes.py).
const smallestWeight = 10

// skipWeights says why weights of n elements had better stay float; empty if not. Core
// ML Tools' passes skip the same: fewer than 10 elements, and any infinity, whose range
// would leave nothing of the others.
func (l *Layer) skipWeights(n int) string {
	if l.Config.Weights.WeightThreshold > 0 && n < smallestWeight {
		return "fewer than 10 weights save nothing"
	}
	if l.WeightValue().Role == graph.Activation {
		return "" // computed: not known before the network runs
	}
	w, err := l.WeightValue().Floats()
	if err != nil {
		return "" // the reader or the graph says so elsewhere
	}
	for _, v := range w {
		if math.IsInf(float64(v), 0) {
			return "its weights hold an infinity"
		}
	}
	return ""
}
