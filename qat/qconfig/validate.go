package qconfig

// This file says which configs contradict themselves.

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/words"
	"github.com/goqat/goqat/observers"
)

// Validate reports the first setting that is out of range or contradicts another.
// Errors wrap [ErrConfig] and name the setting as it is spelled in a file, with
// its line if the Config was parsed.
func (c Config) Validate() error {
	if c.Global != nil {
		if err := c.checkLayer("global", *c.Global); err != nil {
			return err
		}
	}
	for _, group := range []struct {
		path    string
		entries map[string]*Layer
	}{{"types", c.Types}, {"names", c.Names}} {
		if err := c.checkEntries(group.path, group.entries); err != nil {
			return err
		}
	}
	for _, group := range c.tensorGroups() {
		if err := c.checkTensors(group.key, *group.entries); err != nil {
			return err
		}
	}
	if err := c.Milestones.check(); err != nil {
		return c.fault("milestones", "%v", err)
	}
	for _, s := range c.allMilestones() {
		if s.Epochs != c.countsEpochs() {
			return c.fault("milestone_unit", "some milestones count epochs, others steps: use one unit")
		}
	}
	if c.Float && (c.Global != nil || len(c.Types) > 0 || len(c.Names) > 0 || len(c.Inputs) > 0 || len(c.Outputs) > 0 || c.QuantizeOutputs || c.Milestones != (Milestones{})) {
		return c.fault("float", "true beside other settings: a network of which nothing is quantized has none; remove them, or float")
	}
	return c.checkRoleLists()
}

func (c Config) checkRoleLists() error {
	seen := map[string]string{}
	for _, l := range c.Roles.lists() {
		for i, name := range *l.names {
			path := fmt.Sprintf("roles.%s[%d]", l.key, i)
			if err := c.checkKey(path, name); err != nil {
				return err
			}
			if before, ok := seen[name]; ok {
				return c.fault(path, "%s is listed twice, first under %s: remove one", words.Quote(name), before)
			}
			seen[name] = l.key
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Roles.Batch)) {
		path := join("roles.batch", name)
		if err := c.checkKey(path, name); err != nil {
			return err
		}
		if seen[name] != "" && seen[name] != "inputs" {
			return c.fault(path, "%s is listed under %s: only inputs have a batch axis", words.Quote(name), seen[name])
		}
		if axis := c.Roles.Batch[name]; axis < -1 {
			return c.fault(path, "%d: want an axis, counted from 0, or -1 for none", axis)
		}
	}
	return nil
}

func (c Config) checkEntries(path string, entries map[string]*Layer) error {
	for _, key := range sortedKeys(entries) {
		at := join(path, key)
		if err := c.checkKey(at, key); err != nil {
			return err
		}
		l := entries[key]
		if l == nil {
			continue
		}
		if err := c.checkLayer(at, *l); err != nil {
			return err
		}
		e := c.effective(*l)
		if *l == (Layer{}) && e.Weights.Off && e.Activations.Off {
			return c.fault(at, "sets nothing, and global leaves every layer float: set a field, such as weights: {bits: 8}, or use null")
		}
	}
	return nil
}

// checkTensors checks the entries of inputs or outputs.
func (c Config) checkTensors(path string, entries map[string]*Tensor) error {
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		at := join(path, key)
		if err := c.checkKey(at, key); err != nil {
			return err
		}
		if t := entries[key]; t != nil {
			if err := c.checkTensor(at, activations, *t, c.effectiveTensor(*t, activations)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkKey checks a name of a layer, kind, input or output.
func (c Config) checkKey(path, key string) error {
	if key == "" {
		return c.fault(path, "the name is empty")
	}
	if !utf8.ValidString(key) {
		return c.fault(path, "the name is not valid UTF-8")
	}
	return nil
}

func (c Config) checkLayer(path string, l Layer) error {
	e := c.effective(l)
	if err := c.checkTensor(join(path, "weights"), weights, l.Weights, e.Weights); err != nil {
		return err
	}
	if err := c.checkTensor(join(path, "activations"), activations, l.Activations, e.Activations); err != nil {
		return err
	}
	if err := c.checkOscillation(join(path, "oscillation"), l.Oscillation, e.Oscillation); err != nil {
		return err
	}
	if err := l.Milestones.check(); err != nil {
		return c.fault(join(path, "milestones"), "%v", err)
	}
	return nil
}

// checkTensor checks the settings own as written and all, what they amount to
// with what they inherit.
func (c Config) checkTensor(path string, p part, own, all Tensor) error {
	if own.Off {
		if own != (Tensor{Off: true}) {
			return c.fault(path, "Off is set beside other settings: a tensor that stays float has none")
		}
		return nil
	}
	for _, check := range []func(string, part, Tensor, Tensor) error{c.checkFormat, c.checkGranularity, c.checkObserver, c.checkEstimator} {
		if err := check(path, p, own, all); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) checkFormat(path string, p part, own, _ Tensor) error {
	if b := own.Bits; b != 0 && (b < fakequant.MinBits || b > fakequant.MaxBits) {
		return c.fault(join(path, "bits"), "%d: want %d to %d", b, fakequant.MinBits, fakequant.MaxBits)
	}
	if err := c.checkWord(join(path, "scheme"), string(own.Scheme), schemes); err != nil {
		return err
	}
	if err := c.checkWord(join(path, "narrow_range"), string(own.NarrowRange), []string{string(Yes), string(No)}); err != nil {
		return err
	}
	if at, v := join(path, "weight_threshold"), own.WeightThreshold; v < 0 {
		return c.fault(at, "%d: want at least 1, or leave the key out for the default", v)
	} else if v > 0 && p == activations {
		return c.fault(at, "%d: activations are not stored: leave the key out", v)
	}
	if v := own.MinScale; !(v >= 0) || v > math.MaxFloat32 {
		return c.fault(join(path, "min_scale"), "%v: want a finite number of at least 0", v)
	}
	if err := c.checkWord(join(path, "scale_dtype"), string(own.ScaleDType), []string{string(Float32), string(Float16)}); err != nil {
		return err
	}
	if p == weights && own.Unsigned == Auto {
		return c.fault(join(path, "unsigned"), "auto is for activations: use true or false")
	}
	return c.checkWord(join(path, "unsigned"), string(own.Unsigned), []string{string(Yes), string(No), string(Auto)})
}

func (c Config) checkGranularity(path string, p part, own, all Tensor) error {
	if err := c.checkWord(join(path, "granularity"), string(own.Granularity), granularities); err != nil {
		return err
	}
	if p == activations && own.Granularity != "" && own.Granularity != PerTensor {
		return c.fault(join(path, "granularity"), "%s: activations are always per_tensor: leave the key out", own.Granularity)
	}
	switch b := own.BlockSize; {
	case b == 0:
		return nil
	case b < 1:
		return c.fault(join(path, "block_size"), "%d: want at least 1", b)
	case all.Granularity != PerBlock && p == activations:
		return c.fault(join(path, "block_size"), "%d: activations are always per_tensor: leave the key out", b)
	case all.Granularity != PerBlock:
		return c.fault(join(path, "block_size"), "%d with granularity %s: set granularity: per_block, or leave block_size out", b, all.Granularity)
	}
	return nil
}

func (c Config) checkObserver(path string, p part, own, all Tensor) error {
	if err := c.checkWord(join(path, "observer"), own.Observer, observers.Kinds()); err != nil {
		return err
	}
	if p == activations && (own.Observer == observers.KindLatest || own.Observer == observers.KindLatestMSE) {
		return c.fault(join(path, "observer"), "%s is for weights: the range of activations must hold for later inputs too; use %s or min_max",
			own.Observer, observers.KindMovingAverage)
	}
	return c.checkConstants(path, own, all.Observer)
}

func (c Config) checkEstimator(path string, _ part, own, all Tensor) error {
	if err := c.checkWord(join(path, "estimator"), string(own.Estimator), []string{string(STE), string(LSQ)}); err != nil {
		return err
	}
	at := join(path, "scale_init")
	if err := c.checkWord(at, own.ScaleInit, []string{InitObserver, InitLSQ}); err != nil {
		return err
	}
	if own.ScaleInit != "" && all.Estimator != LSQ {
		return c.fault(at, "%s with estimator %s: only learned scales start anywhere: set estimator: lsq, or leave scale_init out", own.ScaleInit, all.Estimator)
	}
	return nil
}

// The words that settings may have.
var (
	schemes       = []string{string(Symmetric), string(Affine)}
	granularities = []string{string(PerTensor), string(PerChannel), string(PerBlock)}
)

// CheckNames reports the first entry of Names that is not in known, the names of
// the network's layers, and above none of them, or of Types that is not in kinds, the kinds of layers
// there are.
func (c Config) CheckNames(known, kinds []string) error {
	for _, group := range []struct {
		path, what string
		entries    map[string]*Layer
		known      []string
	}{{"types", "kind of layer", c.Types, kinds}, {"names", "layer", c.Names, known}} {
		for _, key := range sortedKeys(group.entries) {
			if slices.Contains(group.known, key) || group.path == "types" && c.source != nil && c.source.coreML {
				continue
			}
			if group.path == "names" && slices.ContainsFunc(known, func(name string) bool { return strings.HasPrefix(name, key+".") }) {
				continue
			}
			return c.unknownName(join(group.path, key), group.what, key, group.known)
		}
	}
	return nil
}

// CheckTensors reports the first entry of Inputs that is not in inputs, the names of the
// network's inputs, or of Outputs that is not in outputs.
func (c Config) CheckTensors(inputs, outputs []string) error {
	for i, group := range c.tensorGroups() {
		known := [][]string{inputs, outputs}[i]
		for _, key := range slices.Sorted(maps.Keys(*group.entries)) {
			if !slices.Contains(known, key) {
				return c.unknownName(join(group.key, key), group.what, key, known)
			}
		}
	}
	return nil
}

// CheckRoles reports the first name in Roles that is not in known, the names of the
// graph's leaves.
func (c Config) CheckRoles(known []string) error {
	for _, l := range c.Roles.lists() {
		for i, name := range *l.names {
			if !slices.Contains(known, name) {
				return c.unknownName(fmt.Sprintf("roles.%s[%d]", l.key, i), "leaf", name, known)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Roles.Batch)) {
		if !slices.Contains(known, name) {
			return c.unknownName(join("roles.batch", name), "leaf", name, known)
		}
	}
	return nil
}

// CheckBlockSize reports a block size that the entry of this very layer sets and that
// is larger than the input axis of its weights, of the given shape. One that was set
// for many layers is cut to each.
func (c Config) CheckBlockSize(layer string, shape []int, axis int) error {
	own := c.Names[layer]
	if own == nil || own.Weights.BlockSize <= shape[axis] {
		return nil
	}
	path := join(join(join("names", layer), "weights"), "block_size")
	return c.fault(path, "%d is larger than the %d input channels of the weights, shape %v: use at most %d", own.Weights.BlockSize, shape[axis], shape, shape[axis])
}

// maxListed is how many names an error lists when none is close.
const maxListed = 20

func (c Config) unknownName(path, what, key string, known []string) error {
	hint := words.DidYouMean(key, known)
	if hint == "" {
		sorted := slices.Clone(known)
		slices.Sort(sorted)
		hint = "there are " + strings.Join(sorted[:min(len(sorted), maxListed)], ", ")
		if len(sorted) > maxListed {
			hint += fmt.Sprintf(" and %d more", len(sorted)-maxListed)
		}
		if len(sorted) == 0 {
			hint = "there are none"
		}
	}
	return c.fault(path, "no %s %s: %s", what, words.Quote(key), hint)
}
