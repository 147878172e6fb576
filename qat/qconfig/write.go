package qconfig

// This file says how a config is written.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// YAML returns c in the form that [ReadYAML] reads: only what is set, names in
// alphabetical order, the same bytes for equal configs. It fails like
// [Config.Validate] for a config that is not valid.
func (c Config) YAML() ([]byte, error) {
	o, err := c.object()
	if err != nil || len(o) == 0 {
		return nil, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(o.node()); err != nil {
		return nil, fmt.Errorf("qconfig: write: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("qconfig: write: %w", err)
	}
	return b.Bytes(), nil
}

// MarshalJSON returns c in the form that [ReadJSON] reads; otherwise it is like
// [Config.YAML].
func (c Config) MarshalJSON() ([]byte, error) {
	o, err := c.object()
	if err != nil {
		return nil, err
	}
	return o.MarshalJSON()
}

// object is a list of keys with values, in the order to write them. A value is an
// object, a list, nil or a scalar.
type object []field

type field struct {
	key   string
	value any
}

type list []any

func (c Config) object() (object, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var o object
	if c.Global != nil {
		o = append(o, field{"global", c.Global.object()})
	}
	o = o.entries("types", c.Types).entries("names", c.Names)
	for _, group := range c.tensorGroups() {
		var entries object
		for _, name := range slices.Sorted(maps.Keys(*group.entries)) {
			if t := (*group.entries)[name]; t == nil || t.Off {
				entries = append(entries, field{name, nil})
			} else {
				entries = append(entries, field{name, t.object()})
			}
		}
		if len(entries) > 0 {
			o = append(o, field{group.key, entries})
		}
	}
	if c.QuantizeOutputs {
		o = append(o, field{"quantize_outputs", true})
	}
	var roles object
	for _, l := range c.Roles.lists() {
		var names list
		for _, name := range *l.names {
			names = append(names, name)
		}
		if len(names) > 0 {
			roles = append(roles, field{l.key, names})
		}
	}
	var axes object
	for _, name := range slices.Sorted(maps.Keys(c.Roles.Batch)) {
		axes = append(axes, field{name, c.Roles.Batch[name]})
	}
	if len(axes) > 0 {
		roles = append(roles, field{"batch", axes})
	}
	if len(roles) > 0 {
		o = append(o, field{"roles", roles})
	}
	if c.Float {
		o = append(o, field{"float", true})
	}
	o = o.milestones(c.Milestones)
	if c.countsEpochs() {
		o = append(o, field{"milestone_unit", unitEpochs})
	}
	return o, nil
}

func (o object) entries(key string, m map[string]*Layer) object {
	if len(m) == 0 {
		return o
	}
	var entries object
	for _, name := range sortedKeys(m) {
		if l := m[name]; l == nil {
			entries = append(entries, field{name, nil})
		} else {
			entries = append(entries, field{name, l.object()})
		}
	}
	return append(o, field{key, entries})
}

func (l Layer) object() object {
	return object{}.tensor("weights", l.Weights).tensor("activations", l.Activations).oscillation(l.Oscillation).milestones(l.Milestones)
}

func (o object) milestones(s Milestones) object {
	if !s.Set {
		return o
	}
	return append(o, field{"milestones", list{s.Observe, s.Quantize, s.FreezeObservers, s.FreezeBatchNorm}})
}

func (o object) tensor(key string, t Tensor) object {
	switch {
	case t.Off:
		return append(o, field{key, nil})
	case t == (Tensor{}):
		return o
	}
	return append(o, field{key, t.object()})
}

// object writes the fields that are set.
func (t Tensor) object() object {
	f := object{}
	add := func(key string, set bool, value any) {
		if set {
			f = append(f, field{key, value})
		}
	}
	add("bits", t.Bits != 0, t.Bits)
	add("scheme", t.Scheme != "", string(t.Scheme))
	add("granularity", t.Granularity != "", string(t.Granularity))
	add("block_size", t.BlockSize != 0, t.BlockSize)
	add("narrow_range", t.NarrowRange != "", t.NarrowRange.value())
	add("unsigned", t.Unsigned != "", t.Unsigned.value())
	add("observer", t.Observer != "", t.Observer)
	add("averaging_constant", t.AveragingConstant != 0, t.AveragingConstant)
	add("ema_ratio", t.EMARatio != 0, t.EMARatio)
	add("percentile", t.Percentile != 0, t.Percentile)
	add("bins", t.Bins != 0, t.Bins)
	add("estimator", t.Estimator != "", string(t.Estimator))
	add("scale_init", t.ScaleInit != "", t.ScaleInit)
	add("weight_threshold", t.WeightThreshold != 0, t.WeightThreshold)
	add("min_scale", t.MinScale != 0, t.MinScale)
	add("scale_dtype", t.ScaleDType != "", string(t.ScaleDType))
	return f
}

// value is how a switch is written: as a truth value, or the word auto.
func (s Switch) value() any {
	if s == Auto {
		return string(s)
	}
	return s == Yes
}

// node makes the YAML tree: an object without further objects is one line, the
// others are blocks.
func (o object) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, f := range o {
		var value *yaml.Node
		switch v := f.value.(type) {
		case object:
			value, n.Style = v.node(), 0
		case list:
			value, n.Style = v.node(), 0
		default:
			value = scalarNode(v)
		}
		n.Content = append(n.Content, scalarNode(f.key), value)
	}
	return n
}

func (l list) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, item := range l {
		n.Content = append(n.Content, scalarNode(item))
	}
	return n
}

// scalarNode lets the library choose the spelling, quotes included.
func scalarNode(v any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil { // numbers, texts, truth values and nil always encode
		n.Kind, n.Tag, n.Value = yaml.ScalarNode, "!!str", fmt.Sprint(v)
	}
	return n
}

// MarshalJSON keeps the order of the fields.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, v := range []any{f.key, f.value} {
			text, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("qconfig: write: %w", err)
			}
			if j == 1 {
				b.WriteByte(':')
			}
			b.Write(text)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// oscillation writes what [Config.readOscillation] reads.
func (o object) oscillation(s Oscillation) object {
	switch s {
	case Oscillation{}:
		return o
	case Oscillation{Track: No}:
		return append(o, field{"oscillation", nil})
	}
	var f object
	add := func(key string, set bool, value any) {
		if set {
			f = append(f, field{key, value})
		}
	}
	add("track", s.Track != "", s.Track.value())
	add("momentum", s.Momentum != 0, s.Momentum)
	add("damping", s.Damping != 0, s.Damping)
	add("damping_steps", s.DampingSteps != 0, s.DampingSteps)
	add("freeze_threshold", s.FreezeThreshold != 0, s.FreezeThreshold)
	return append(o, field{"oscillation", f})
}
