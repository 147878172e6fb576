package qconfig

// This file says how a config in the form of Core ML Tools is told and read.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/words"
	"go.yaml.in/yaml/v3"
)

// String is the note in one line, with its place.
func (n Note) String() string {
	s := n.Text
	if n.Setting != "" {
		s = n.Setting + ": " + s
	}
	if n.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", n.Line, n.Column, s)
	}
	return s
}

// Notes returns what there is to know about a config that was read in Core ML
// Tools' form, in the order of the file, each remark once. It is nil for other
// configs.
func (c Config) Notes() []Note {
	if c.source == nil {
		return nil
	}
	return slices.Clone(c.source.notes)
}

// The keys of the three forms (TQ/quantization_config.py,
// TQ/post_training_quantization.py and CO/_config.py in Core ML Tools).
var (
	coreMLRootKeys = map[string][]coreMLForm{
		"global_config":              {linearQuantizer, postTrainingQuantizer, opLinearQuantizer},
		"module_type_configs":        {linearQuantizer, postTrainingQuantizer},
		"module_name_configs":        {linearQuantizer, postTrainingQuantizer},
		"non_traceable_module_names": {linearQuantizer},
		"preserved_attributes":       {linearQuantizer},
		"config_type":                {opLinearQuantizer},
		"op_type_configs":            {opLinearQuantizer},
		"op_name_configs":            {opLinearQuantizer},
	}
	coreMLLayerKeys = map[string][]coreMLForm{
		"algorithm":           {linearQuantizer},
		"weight_dtype":        {linearQuantizer, postTrainingQuantizer},
		"weight_observer":     {linearQuantizer},
		"weight_per_channel":  {linearQuantizer},
		"activation_dtype":    {linearQuantizer},
		"activation_observer": {linearQuantizer},
		"quantization_scheme": {linearQuantizer, postTrainingQuantizer},
		"milestones":          {linearQuantizer},
		"granularity":         {postTrainingQuantizer, opLinearQuantizer},
		"block_size":          {postTrainingQuantizer, opLinearQuantizer},
		"mode":                {opLinearQuantizer},
		"dtype":               {opLinearQuantizer},
		"weight_threshold":    {opLinearQuantizer},
		"config_type":         {opLinearQuantizer},
	}
)

// isCoreML reports whether a file has the form of Core ML Tools: it has one of
// their keys, or a slip of one and none of goqat's.
func isCoreML(n *yaml.Node) bool {
	theirs := make([]string, 0, len(coreMLRootKeys))
	for key := range coreMLRootKeys {
		theirs = append(theirs, key)
	}
	near := false
	for _, key := range keysOf(n) {
		if slices.Contains(theirs, key) {
			return true
		}
		near = near || words.DidYouMean(key, theirs) != ""
	}
	return near && !slices.ContainsFunc(keysOf(n), func(key string) bool { return words.DidYouMean(key, rootKeys) != "" })
}

// rootKeys are goqat's own keys at the top of a file.
var rootKeys = []string{"float", "global", "inputs", "milestone_unit", "milestones", "names", "outputs", "quantize_outputs", "roles", "types"}

// readCoreML reads the root of a file in Core ML Tools' form.
func (c *Config) readCoreML(n *yaml.Node) error {
	c.source.coreML = true
	r := &coreMLReader{c: c}
	if err := r.findForm(n); err != nil {
		return err
	}
	known := map[string]reader{"roles": c.readRoles, "global_config": r.readGlobal}
	types, names := "module_type_configs", "module_name_configs"
	switch r.form {
	case opLinearQuantizer:
		types, names = "op_type_configs", "op_name_configs"
		known["config_type"] = r.readConfigType
	case linearQuantizer:
		known["non_traceable_module_names"] = r.readIgnored("no effect here: a Gorgonia graph is not traced, all of it is visible")
		known["preserved_attributes"] = r.readIgnored("no effect here: Prepare leaves your own graph and its attributes alone")
	}
	known[types] = func(n *yaml.Node, path string) error { return r.readEntries(n, path, &r.types, r.kinds) }
	known[names] = func(n *yaml.Node, path string) error { return r.readEntries(n, path, &r.names, r.name) }
	err := pairs(n, "", func(path string, key, _ *yaml.Node) error {
		if known[key.Value] != nil || !slices.Contains(rootKeys, key.Value) {
			return nil
		}
		c.mark(path, key)
		return c.fault(path, "a key of goqat's own form in a file in the form of Core ML Tools' %v: use the keys of one", r.form)
	})
	if err != nil {
		return err
	}
	if err := c.fields(n, "", known); err != nil {
		return err
	}
	return r.finish()
}

// findForm tells from the keys which form a file has. Forms that share all keys
// mean the same by them; the first of them counts.
func (r *coreMLReader) findForm(root *yaml.Node) error {
	forms := []coreMLForm{linearQuantizer, postTrainingQuantizer, opLinearQuantizer}
	decided := "" // the key that left one form
	narrow := func(path string, key *yaml.Node, of []coreMLForm) error {
		left := slices.DeleteFunc(slices.Clone(forms), func(f coreMLForm) bool { return of != nil && !slices.Contains(of, f) })
		if len(left) == 0 {
			r.c.mark(path, key)
			return r.c.fault(path, "a setting of Core ML Tools' %v, but %s is one of %v: use the settings of one (goqat's own form has them all)", of[0], decided, forms[0])
		}
		if len(left) < len(forms) {
			decided = fmt.Sprintf("%s in line %d", key.Value, key.Line)
		}
		forms = left
		return nil
	}
	err := pairs(root, "", func(path string, key, value *yaml.Node) error {
		if other := otherCompressor(key, value); other != nil {
			r.c.mark(other.Value, other)
			return r.c.fault(other.Value, "a setting of another of Core ML Tools' compressors: goqat quantizes linearly, it neither prunes nor builds palettes nor runs GPTQ: want a config of one of %v, %v, %v", linearQuantizer, postTrainingQuantizer, opLinearQuantizer)
		}
		if err := narrow(path, key, coreMLRootKeys[key.Value]); err != nil {
			return err
		}
		visit := func(path string, key, _ *yaml.Node) error { return narrow(path, key, coreMLLayerKeys[key.Value]) }
		switch key.Value {
		case "global_config":
			return pairs(value, path, visit)
		case "module_type_configs", "module_name_configs", "op_type_configs", "op_name_configs":
			return pairs(value, path, func(path string, _, value *yaml.Node) error { return pairs(value, path, visit) })
		}
		return nil
	})
	r.form = forms[0]
	if err == nil && r.form == linearQuantizer && slices.Contains(forms, postTrainingQuantizer) {
		r.chooseForm(dtypesOf(root))
	}
	return err
}

// chooseForm decides between the two forms that share the keys of a file. The spelling
// of a type tells: int8 in post-training configs, qint8 in those for training. Where
// all weights stay float32, only a training config does anything, to activations that
// the file says nothing about: then it is read as the form that does not.
func (r *coreMLReader) chooseForm(dtypes []string) {
	plain := slices.ContainsFunc(dtypes, func(d string) bool { return slices.Contains(plainDTypes[:4], d) })
	float := len(dtypes) > 0 && !slices.ContainsFunc(dtypes, func(d string) bool { return d != float32T })
	switch {
	case plain:
		r.form = postTrainingQuantizer
		r.chosen = "weight_dtype is spelled as there; a training config (LinearQuantizerConfig) has qint8 for int8, and Core ML Tools refuses this spelling in one"
	case float:
		r.form = postTrainingQuantizer
		r.chosen = "a training config (LinearQuantizerConfig) of the same keys would quantize activations: add activation_dtype: quint8 for that"
	default:
		r.chosen = "the keys fit PostTrainingQuantizerConfig too, which leaves activations float: add granularity: per_channel for that"
	}
}

// dtypesOf lists the values of all weight_dtype below n.
func dtypesOf(n *yaml.Node) []string {
	var found []string
	_ = pairs(n, "", func(_ string, key, value *yaml.Node) error {
		if key.Value == "weight_dtype" {
			found = append(found, value.Value)
		}
		found = append(found, dtypesOf(value)...)
		return nil
	})
	return found
}

// Settings that tell the configs of Core ML Tools' pruners, palettizers and layerwise
// compressors from those of its linear quantizers.
var otherKeys = []string{"n_bits", "cluster_dim", "scheduler", "target_sparsity", "initial_sparsity", "block_sparsity", "n_m_ratio",
	"lut_dtype", "enable_per_channel_scale", "num_kmeans_workers", "calibration_nsamples", "layers", "input_cacher"}

// otherCompressor returns the key of a layer's settings or of the file that belongs to
// another compressor; nil for none.
func otherCompressor(key, value *yaml.Node) *yaml.Node {
	if slices.Contains(otherKeys, key.Value) {
		return key
	}
	if _, ok := coreMLRootKeys[key.Value]; !ok {
		return nil
	}
	var found *yaml.Node
	_ = pairs(value, "", func(_ string, k, v *yaml.Node) error {
		own := slices.Contains(otherKeys, k.Value) || k.Value == "algorithm" && slices.Contains([]string{"gptq", "sparse_gpt"}, v.Value)
		if found == nil && own && key.Value == "global_config" {
			found = k
		}
		if key.Value != "global_config" {
			_ = pairs(v, "", func(_ string, k, _ *yaml.Node) error {
				if found == nil && slices.Contains(otherKeys, k.Value) {
					found = k
				}
				return nil
			})
		}
		return nil
	})
	return found
}

// pairs visits the keys of a mapping, whatever they are; it checks nothing.
func pairs(n *yaml.Node, path string, visit func(path string, key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := visit(join(path, n.Content[i].Value), n.Content[i], n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *coreMLReader) readGlobal(n *yaml.Node, path string) error {
	if isNull(n) {
		return nil // as if the key were not there
	}
	e, err := r.readLayer(n, path)
	r.global = &e
	return err
}

// readEntries reads a map of layer configs. accept turns a key into the kinds or the name
// of layers; it returns none for one that no layer can have.
func (r *coreMLReader) readEntries(n *yaml.Node, path string, into *[]coreMLEntry, accept func(key, path string) ([]string, error)) error {
	if isNull(n) {
		return nil
	}
	return r.c.mapping(n, path, func(key string, _, value *yaml.Node, path string) error {
		keys, err := accept(key, path)
		if err != nil {
			return err
		}
		e := coreMLEntry{path: path}
		if !isNull(value) {
			if e, err = r.readLayer(value, path); err != nil {
				return err
			}
		}
		for _, e.key = range keys {
			if e.layer != nil { // each key has settings of its own
				own := *e.layer
				e.layer = &own
			}
			*into = append(*into, e)
		}
		return nil
	})
}

// readIgnored reads a list of names that means nothing to goqat.
func (r *coreMLReader) readIgnored(why string) reader {
	return func(n *yaml.Node, path string) error {
		items, err := r.c.list(n, path)
		if err != nil {
			return err
		}
		for i, item := range items {
			at := fmt.Sprintf("%s[%d]", path, i)
			r.c.mark(at, item)
			var name string
			if err := readWord(r.c, item, at, &name); err != nil {
				return err
			}
		}
		if len(items) > 0 {
			r.c.note(path, "%s", why)
		}
		return nil
	}
}
