package qconfig

// This file says how the parts of a config are read: layers, tensors, milestones, roles.

import (
	"fmt"
	"strings"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/words"
	"go.yaml.in/yaml/v3"
)

func (c *Config) readGlobal(n *yaml.Node, path string) error {
	l := offLayer()
	if !isNull(n) {
		var err error
		if l, err = c.readLayer(n, path); err != nil {
			return err
		}
	}
	c.Global = &l
	return nil
}

func (c *Config) readEntries(n *yaml.Node, path string) (map[string]*Layer, error) {
	if isNull(n) {
		return nil, nil
	}
	var entries map[string]*Layer
	err := c.mapping(n, path, func(key string, _, value *yaml.Node, path string) error {
		if entries == nil {
			entries = map[string]*Layer{}
		}
		if isNull(value) {
			entries[key] = nil
			return nil
		}
		l, err := c.readLayer(value, path)
		entries[key] = &l
		return err
	})
	return entries, err
}

// readTensors reads the entries of inputs or outputs.
func (c *Config) readTensors(into *map[string]*Tensor) reader {
	return func(n *yaml.Node, path string) error {
		if isNull(n) {
			return nil
		}
		return c.mapping(n, path, func(key string, _, value *yaml.Node, path string) error {
			if *into == nil {
				*into = map[string]*Tensor{}
			}
			t, err := c.readTensor(value, path)
			if (*into)[key] = &t; t.Off {
				(*into)[key] = nil
			}
			return err
		})
	}
}

func (c *Config) readLayer(n *yaml.Node, path string) (l Layer, err error) {
	err = c.fields(n, path, map[string]reader{
		"weights":     func(n *yaml.Node, path string) (err error) { l.Weights, err = c.readTensor(n, path); return err },
		"activations": func(n *yaml.Node, path string) (err error) { l.Activations, err = c.readTensor(n, path); return err },
		"oscillation": func(n *yaml.Node, path string) error { return c.readOscillation(n, path, &l.Oscillation) },
		"milestones":  func(n *yaml.Node, path string) (err error) { l.Milestones, err = c.readMilestones(n, path); return err },
	})
	return l, err
}

func (c *Config) readTensor(n *yaml.Node, path string) (t Tensor, err error) {
	if isNull(n) {
		return Tensor{Off: true}, nil
	}
	var dtype *yaml.Node
	err = c.fields(n, path, map[string]reader{
		"bits":               func(n *yaml.Node, path string) (err error) { t.Bits, err = c.readCount(n, path); return err },
		"dtype":              func(n *yaml.Node, path string) error { dtype = n; return nil },
		"scheme":             func(n *yaml.Node, path string) error { return readWord(c, n, path, &t.Scheme) },
		"granularity":        func(n *yaml.Node, path string) error { return readWord(c, n, path, &t.Granularity) },
		"block_size":         func(n *yaml.Node, path string) (err error) { t.BlockSize, err = c.readCount(n, path); return err },
		"narrow_range":       func(n *yaml.Node, path string) (err error) { t.NarrowRange, err = c.readSwitch(n, path); return err },
		"unsigned":           func(n *yaml.Node, path string) (err error) { t.Unsigned, err = c.readSwitch(n, path); return err },
		"observer":           func(n *yaml.Node, path string) error { return readWord(c, n, path, &t.Observer) },
		"averaging_constant": func(n *yaml.Node, path string) error { return c.readConstant(n, path, &t.AveragingConstant) },
		"ema_ratio":          func(n *yaml.Node, path string) error { return c.readConstant(n, path, &t.EMARatio) },
		"percentile":         func(n *yaml.Node, path string) error { return c.readConstant(n, path, &t.Percentile) },
		"bins":               func(n *yaml.Node, path string) (err error) { t.Bins, err = c.readCount(n, path); return err },
		"estimator":          func(n *yaml.Node, path string) error { return readWord(c, n, path, &t.Estimator) },
		"scale_init":         func(n *yaml.Node, path string) error { return readWord(c, n, path, &t.ScaleInit) },
		"weight_threshold":   func(n *yaml.Node, path string) (err error) { t.WeightThreshold, err = c.readCount(n, path); return err },
		"min_scale":          func(n *yaml.Node, path string) error { return c.readConstant(n, path, &t.MinScale) },
		"scale_dtype":        func(n *yaml.Node, path string) error { return readWord(c, n, path, &t.ScaleDType) },
	})
	if err == nil && dtype != nil {
		err = c.readDType(dtype, join(path, "dtype"), &t)
	}
	return t, err
}

// readDType applies a dtype, the other spelling of bits and unsigned, to t, which
// holds all other settings.
func (c *Config) readDType(n *yaml.Node, path string, t *Tensor) error {
	var word string
	if err := readWord(c, n, path, &word); err != nil {
		return err
	}
	if t.Bits != 0 || t.Unsigned != "" {
		return c.fault(path, "%s beside bits or unsigned: use dtype, or the other two", words.Quote(word))
	}
	if word == "float32" {
		if *t != (Tensor{}) {
			return c.fault(path, "float32 leaves the tensor float: remove the other settings")
		}
		t.Off = true
		return nil
	}
	for bits := fakequant.MinBits; bits <= fakequant.MaxBits; bits++ {
		t.Bits = bits
		if t.Unsigned = No; word == fmt.Sprintf("int%d", bits) {
			return nil
		}
		if t.Unsigned = Yes; word == fmt.Sprintf("uint%d", bits) {
			return nil
		}
	}
	return c.fault(path, "unknown value %s: %s", words.Quote(word), suggestDType(word))
}

func suggestDType(word string) string {
	if s := words.DidYouMean(word, []string{"int8", "uint8", "int4", "uint4", "float32"}); s != "" {
		return s
	}
	return "want int2 to int8, uint2 to uint8, or float32"
}

func (c *Config) readRoles(n *yaml.Node, path string) error {
	if isNull(n) {
		return nil
	}
	known := map[string]reader{}
	for _, l := range c.Roles.lists() {
		known[l.key] = func(n *yaml.Node, path string) error { return c.readLeaves(n, path, l.names) }
	}
	known["batch"] = c.readBatch
	return c.fields(n, path, known)
}

// readBatch reads the batch axes of inputs.
func (c *Config) readBatch(n *yaml.Node, path string) error {
	if isNull(n) {
		return nil
	}
	c.Roles.Batch = map[string]int{}
	return c.mapping(n, path, func(name string, _, n *yaml.Node, path string) error {
		axis, err := c.readInt(n, path)
		c.Roles.Batch[name] = axis
		return err
	})
}

// readLeaves reads a list of names.
func (c *Config) readLeaves(n *yaml.Node, path string, into *[]string) error {
	items, err := c.list(n, path)
	if err != nil {
		return err
	}
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.mark(at, item)
		var name string
		if err := readWord(c, item, at, &name); err != nil {
			return err
		}
		*into = append(*into, name)
	}
	return nil
}

// readBool reads true or false.
func (c *Config) readBool(into *bool) reader {
	return func(n *yaml.Node, path string) error {
		s, err := c.readSwitch(n, path)
		if err == nil && s == Auto {
			err = c.fault(path, "auto: want true or false")
		}
		*into = s == Yes
		return err
	}
}

func (c *Config) readMilestones(n *yaml.Node, path string) (Milestones, error) {
	if isNull(n) {
		return Milestones{}, nil
	}
	items, err := c.list(n, path)
	if err != nil {
		return Milestones{}, err
	}
	if len(items) != len(milestoneNames) {
		return Milestones{}, c.fault(path, "%d numbers: want %d: [%s]", len(items), len(milestoneNames), strings.Join(milestoneNames[:], ", "))
	}
	var v [len(milestoneNames)]int
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.mark(at, item)
		if v[i], err = c.readInt(item, at); err != nil {
			return Milestones{}, err
		}
	}
	return MilestonesAt(v[0], v[1], v[2], v[3]), nil
}
