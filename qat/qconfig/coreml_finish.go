package qconfig

// This file says how what was read becomes a config.

import (
	"cmp"
	"sort"
	"strings"
)

// finish puts the Config together from what was read.
func (r *coreMLReader) finish() error {
	c := r.c
	c.QuantizeOutputs = r.form == linearQuantizer // the others leave activations float
	r.setGlobal()
	if err := r.fill(&c.Types, "types", r.types); err != nil {
		return err
	}
	if err := r.fill(&c.Names, "names", r.names); err != nil {
		return err
	}
	r.noteForm()
	if r.form != opLinearQuantizer { // there each op may have a mode of its own
		r.noteMixed("quantization_scheme")
	}
	r.noteMixed("algorithm")
	if err := r.setMilestones(); err != nil {
		return err
	}
	notes := c.source.notes
	sort.SliceStable(notes, func(i, j int) bool {
		return cmp.Or(cmp.Compare(notes[i].Line, notes[j].Line), cmp.Compare(notes[i].Column, notes[j].Column)) < 0
	})
	return nil
}

// noteForm says how the file was read where its keys leave a choice, and what of its
// form is read with another meaning than there.
func (r *coreMLReader) noteForm() {
	c := r.c
	if r.chosen != "" {
		what := "weights and activations"
		if r.form == postTrainingQuantizer {
			what = "weights only, activations stay float"
		}
		c.note("", "read as Core ML Tools' %v (%s): %s", r.form, what, r.chosen)
	}
	if r.form == opLinearQuantizer && !r.typed {
		c.note("", "Core ML Tools refuses an OptimizationConfig without config_type: %s", opConfigType)
	}
	if r.form == postTrainingQuantizer && len(r.names) > 0 {
		c.note("module_name_configs", "a name holds for the layers below it too, block1 for block1.conv, as documented for Core ML Tools' configs; its post-training quantizer takes whole names only: name each layer where that matters")
	}
}

// setGlobal decides about the layers that no entry names. Where there is no
// global_config, Core ML Tools is of two minds: LinearQuantizer quantizes them with
// its defaults, the post-training APIs leave them alone. Here they stay float, as
// the file says nothing about them.
func (r *coreMLReader) setGlobal() {
	c := r.c
	if r.global != nil {
		c.Global = r.global.layer
		return
	}
	if len(r.types)+len(r.names) == 0 && r.form != opLinearQuantizer {
		c.note("", "nothing is configured: every layer has the defaults of Core ML Tools' %v", r.form)
		c.Global = r.layer(defaultCoreMLLayer("")).layer
		return
	}
	off := offLayer()
	c.Global = &off
	switch r.form {
	case linearQuantizer:
		c.note("", "without a global_config, layers that no entry names stay float; Core ML Tools would quantize them with its defaults: write global_config: {} for that")
	case opLinearQuantizer:
		if len(r.types)+len(r.names) == 0 {
			c.note("", "nothing is configured: every layer stays float, as in Core ML Tools")
		}
	}
}

// fill writes entries into a map of the Config. Two keys of the file may mean one
// kind of layer.
func (r *coreMLReader) fill(m *map[string]*Layer, group string, entries []coreMLEntry) error {
	first := map[string]coreMLEntry{}
	for _, e := range entries {
		if *m == nil {
			*m = map[string]*Layer{}
		}
		if old, ok := first[e.key]; ok && !sameLayer(old, e) {
			return r.c.fault(e.path, "here it is the same kind of layer as %s, %q, and has other settings: give both the same", last(old.path), e.key)
		}
		first[e.key] = e
		(*m)[e.key] = e.layer
		at := join(group, e.key)
		r.c.source.alias[at] = e.path
		r.c.source.alias[join(join(at, "weights"), "block_size")] = join(e.path, "block_size")
	}
	return nil
}

func sameLayer(a, b coreMLEntry) bool {
	if a.layer == nil || b.layer == nil {
		return a.layer == b.layer
	}
	return *a.layer == *b.layer && a.milestones == b.milestones
}

// last is the last key of a path.
func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// all lists the entries in the order in which Core ML Tools looks at them.
func (r *coreMLReader) all() []coreMLEntry {
	var all []coreMLEntry
	if r.global != nil {
		all = append(all, *r.global)
	}
	return append(append(all, r.types...), r.names...)
}

// noteMixed notes the first entry whose word for a key is not that of the first.
func (r *coreMLReader) noteMixed(key string) {
	first := ""
	if r.global == nil && r.form == linearQuantizer && key == "algorithm" {
		first = vanilla // of the settings that Core ML Tools gives to unnamed layers
	}
	for _, e := range r.all() {
		if e.layer == nil {
			continue
		}
		word := e.words[key]
		if first == "" {
			first = word
		}
		if word != first {
			r.c.note(r.written(e.path, key), "layers differ in their %s: Core ML Tools refuses that, here each layer has its own", key)
			return
		}
	}
}

// setMilestones finds the network's milestones: those of global_config, else of the
// first type that is not null, else of the first name (_construct_global_config in
// TQ/quantizer.py). Core ML Tools ignores all others; here a layer follows its own.
func (r *coreMLReader) setMilestones() error {
	c := r.c
	found := false
	for _, e := range r.all() {
		if err := e.milestones.check(); err != nil {
			return c.fault(join(e.path, "milestones"), "%v", err)
		}
		if e.layer != nil && !found {
			c.Milestones, found = e.milestones, true
		}
	}
	for _, e := range append(append([]coreMLEntry{}, r.types...), r.names...) {
		if e.layer != nil && e.milestones.Set && e.milestones != c.Milestones {
			e.layer.Milestones = e.milestones
			c.note(join(e.path, "milestones"), "they are not those of the network: Core ML Tools ignores them, here the layer follows them")
		}
	}
	return nil
}
