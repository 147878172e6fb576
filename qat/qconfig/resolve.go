package qconfig

// This file says what the settings of one layer are.

import (
	"strings"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/observers"
)

// Resolve returns the complete settings of a layer: every field is set, except
// MinScale and ScaleDType, which need not be, and those that do not apply (BlockSize
// without PerBlock, the constants of other observers, all fields of a part that is Off).
// The result is false for a layer that stays float in both parts. c must be valid.
func (c Config) Resolve(name, kind string) (Layer, bool) {
	own, found := c.Entry(name, kind)
	if found && own == nil {
		return offLayer(), false
	}
	if !found {
		own = &Layer{}
	}
	l := c.effective(*own)
	return l, !l.Weights.Off || !l.Activations.Off
}

// ResolveReader returns the complete settings of an input that a layer asks for: those of
// the layer's activations, but for the observer's default. c must be valid.
func (c Config) ResolveReader(name, kind string) Tensor {
	own, _ := c.Entry(name, kind)
	if own == nil {
		own = &Layer{}
	}
	return own.Activations.inherit(c.global().Activations).withDefaults(inputs)
}

// global are the settings of Global, none where it is nil.
func (c Config) global() Layer {
	if c.Global == nil {
		return Layer{}
	}
	return *c.Global
}

// Entry returns the entry that holds a layer's own settings: that of Names, else that of
// Types. It is nil for a layer that is left float, and not found where Global alone counts.
func (c Config) Entry(name, kind string) (l *Layer, found bool) {
	if l, found = c.named(name); !found {
		l, found = c.Types[kind]
	}
	return l, found
}

// ResolveInput returns the complete settings that the entry of an input gives it. The
// result is nil for one that is left float, and not found where there is no entry. c must
// be valid.
func (c Config) ResolveInput(name string) (t *Tensor, found bool) {
	return c.resolveTensor(c.Inputs, name, inputs)
}

// ResolveOutput is [Config.ResolveInput] for an output, with an entry of Outputs. What
// QuantizeOutputs does is not in it.
func (c Config) ResolveOutput(name string) (t *Tensor, found bool) {
	return c.resolveTensor(c.Outputs, name, activations)
}

func (c Config) resolveTensor(entries map[string]*Tensor, name string, p part) (*Tensor, bool) {
	own, found := entries[name]
	if own == nil || own.Off {
		return nil, found
	}
	t := c.effectiveTensor(*own, p)
	return &t, true
}

// effectiveTensor fills the unset fields of the entry of an input or output. It quantizes,
// whatever Global does.
func (c Config) effectiveTensor(own Tensor, p part) Tensor {
	base := c.global().Activations
	if base.Off {
		base = Tensor{}
	}
	return own.inherit(base).withDefaults(p)
}

// named returns the entry of Names for a layer: its own, or that of the nearest
// name above it.
func (c Config) named(name string) (*Layer, bool) {
	for {
		if l, found := c.Names[name]; found {
			return l, true
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return nil, false
		}
		name = name[:dot]
	}
}

// effective fills the unset fields of l from Global and the defaults.
func (c Config) effective(l Layer) Layer {
	global, milestones := c.global(), l.Milestones
	setDefault(&milestones, global.Milestones)
	return Layer{
		Milestones:  milestones,
		Weights:     l.Weights.inherit(global.Weights).withDefaults(weights),
		Activations: l.Activations.inherit(global.Activations).withDefaults(activations),
		Oscillation: l.Oscillation.inherit(global.Oscillation).withDefaults(),
	}
}

func offLayer() Layer {
	return Layer{Weights: Tensor{Off: true}, Activations: Tensor{Off: true}}
}

// inherit fills the unset fields of t from base.
func (t Tensor) inherit(base Tensor) Tensor {
	if t.Off {
		return t
	}
	if t == (Tensor{}) {
		return base
	}
	setDefault(&t.Bits, base.Bits)
	setDefault(&t.Scheme, base.Scheme)
	setDefault(&t.NarrowRange, base.NarrowRange)
	setDefault(&t.Unsigned, base.Unsigned)
	setDefault(&t.WeightThreshold, base.WeightThreshold)
	setDefault(&t.MinScale, base.MinScale)
	setDefault(&t.ScaleDType, base.ScaleDType)
	// A block size or a constant means nothing beside another granularity or
	// observer than the one it was written for.
	if t.Granularity == "" || t.Granularity == base.Granularity {
		setDefault(&t.BlockSize, base.BlockSize)
	}
	if t.Observer == "" || t.Observer == base.Observer {
		t.inheritConstants(base)
	}
	if t.Estimator == "" || t.Estimator == base.Estimator {
		setDefault(&t.ScaleInit, base.ScaleInit)
	}
	setDefault(&t.Granularity, base.Granularity)
	setDefault(&t.Observer, base.Observer)
	setDefault(&t.Estimator, base.Estimator)
	return t
}

// withDefaults fills the fields that are still unset.
func (t Tensor) withDefaults(p part) Tensor {
	if t.Off {
		return Tensor{Off: true}
	}
	setDefault(&t.Bits, fakequant.DefaultBits)
	setDefault(&t.Scheme, Symmetric)
	setDefault(&t.Estimator, STE)
	if t.Estimator == LSQ {
		setDefault(&t.ScaleInit, InitObserver)
	}
	if p == weights {
		setDefault(&t.Granularity, PerChannel)
		setDefault(&t.Observer, observers.KindLatest)
		setDefault(&t.Unsigned, No)
		if t.Scheme == Symmetric {
			setDefault(&t.NarrowRange, Yes)
		}
	}
	if p == inputs && t.AveragingConstant == 0 { // which is of the moving average
		setDefault(&t.Observer, observers.KindMinMax)
	}
	setDefault(&t.Granularity, PerTensor)
	setDefault(&t.Observer, observers.KindMovingAverage)
	setDefault(&t.Unsigned, Auto)
	setDefault(&t.NarrowRange, No)
	if t.Granularity == PerBlock {
		setDefault(&t.BlockSize, DefaultBlockSize)
	}
	t.defaultConstants()
	return t
}

// Spec turns resolved settings into a quantization format. channelAxis is the
// tensor's output-channel axis, blockAxis the input-channel axis that blocks
// cut; per-tensor settings ignore both. nonNegative says that the values cannot
// be negative, which is what Unsigned: Auto asks. t must not be Off.
func (t Tensor) Spec(channelAxis, blockAxis int, nonNegative bool) fakequant.Spec {
	s := fakequant.Spec{Bits: t.Bits, NarrowRange: t.NarrowRange == Yes, MinScale: float32(t.MinScale), HalfScale: t.ScaleDType == Float16}
	if t.Scheme == Affine {
		s.Scheme = fakequant.Affine
	}
	s.Unsigned = t.Unsigned == Yes || t.Unsigned == Auto && (nonNegative || t.Scheme == Affine)
	switch t.Granularity {
	case PerChannel:
		s.Granularity, s.Axis = fakequant.PerChannel, channelAxis
	case PerBlock:
		s.Granularity, s.Axis, s.BlockSize = fakequant.PerBlock, blockAxis, t.BlockSize
	}
	return s
}
