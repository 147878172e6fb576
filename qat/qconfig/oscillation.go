package qconfig

// This file says how settings of oscillation are read, inherited and checked.

import (
	"go.yaml.in/yaml/v3"
)

// inherit fills the unset fields of o from base. Track: No keeps what it is.
func (o Oscillation) inherit(base Oscillation) Oscillation {
	if o.Track == No || o == (Oscillation{}) && base.Track == No {
		return Oscillation{Track: No}
	}
	if base.Track != No {
		setDefault(&o.Track, base.Track)
	}
	setDefault(&o.Momentum, base.Momentum)
	setDefault(&o.Damping, base.Damping)
	setDefault(&o.DampingSteps, base.DampingSteps)
	setDefault(&o.FreezeThreshold, base.FreezeThreshold)
	return o
}

// withDefaults fills the fields that are still unset. Settings that do nothing become
// the zero value.
func (o Oscillation) withDefaults() Oscillation {
	if !o.Active() {
		return Oscillation{}
	}
	o.Track = Yes
	setDefault(&o.Momentum, defaultMomentum)
	return o
}

// readOscillation reads what stands under the key oscillation.
func (c *Config) readOscillation(n *yaml.Node, path string, o *Oscillation) error {
	if isNull(n) {
		o.Track = No
		return nil
	}
	return c.fields(n, path, map[string]reader{
		"track":            func(n *yaml.Node, path string) (err error) { o.Track, err = c.readSwitch(n, path); return err },
		"momentum":         func(n *yaml.Node, path string) error { return c.readConstant(n, path, &o.Momentum) },
		"damping":          func(n *yaml.Node, path string) error { return c.readConstant(n, path, &o.Damping) },
		"damping_steps":    func(n *yaml.Node, path string) (err error) { o.DampingSteps, err = c.readCount(n, path); return err },
		"freeze_threshold": func(n *yaml.Node, path string) error { return c.readConstant(n, path, &o.FreezeThreshold) },
	})
}

// checkOscillation checks the settings own as written and all, what they amount to
// with what they inherit.
func (c Config) checkOscillation(path string, own, all Oscillation) error {
	if err := c.checkWord(join(path, "track"), string(own.Track), []string{string(Yes), string(No)}); err != nil {
		return err
	}
	if own.Track == No && own != (Oscillation{Track: No}) {
		return c.fault(path, "track is false beside other settings: remove them, or track")
	}
	for _, f := range []struct {
		key  string
		v    float64
		ok   bool
		want string
	}{
		{"momentum", own.Momentum, own.Momentum > 0 && own.Momentum < 1, "above 0 and below 1"},
		{"damping", own.Damping, own.Damping > 0 && own.Damping <= 1, "above 0 and at most 1"},
		{"freeze_threshold", own.FreezeThreshold, own.FreezeThreshold > 0 && own.FreezeThreshold < 1, "above 0 and below 1"},
	} {
		if f.v != 0 && !f.ok {
			return c.fault(join(path, f.key), "%v: want a share %s, or leave the key out", f.v, f.want)
		}
	}
	at, n := join(path, "damping_steps"), own.DampingSteps
	switch {
	case n < 0 || n > MaxDampingSteps:
		return c.fault(at, "%d: want 1 to %d, or leave the key out", n, MaxDampingSteps)
	case n > 0 && all.Damping == 0:
		return c.fault(at, "%d without damping: set damping too, or leave the key out", n)
	}
	if own != (Oscillation{}) && own.Track != No && all == (Oscillation{}) {
		return c.fault(path, "momentum alone does nothing: set track: true, damping or freeze_threshold")
	}
	return nil
}

// defaultMomentum is the momentum of the paper's experiments.
const defaultMomentum = 0.01

// MaxDampingSteps is up to where a float32, in which the state counts, is exact.
const MaxDampingSteps = 1 << 24

// on reports whether there is anything to do.
func (o Oscillation) Active() bool {
	return o.Track != No && (o.Track == Yes || o.Damping > 0 || o.FreezeThreshold > 0)
}
