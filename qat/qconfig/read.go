package qconfig

// This file says how a text becomes a config.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes is the size up to which config files are read, 1 MiB.
const MaxBytes = 1 << 20

// ReadFile reads a Config from a file: YAML from .yaml or .yml, JSON from
// .json. Errors are those of [ReadYAML] and [ReadJSON], with the path, or those
// of reading the file.
func ReadFile(path string) (Config, error) {
	var parse func([]byte) (*yaml.Node, error)
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".yaml", ".yml":
		parse = yamlTree
	case ".json":
		parse = jsonTree
	default:
		return Config{}, fmt.Errorf("%w: %s: unknown extension %q: want .yaml, .yml or .json", ErrConfig, path, ext)
	}
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("qconfig: read: %w", err)
	}
	defer f.Close()
	return readConfig(f, path, parse)
}

// ReadYAML reads a Config from one YAML document. The keys are global, types,
// names, inputs, outputs, quantize_outputs, roles, milestones and float:
//
//	global:
//	  weights: {bits: 4, granularity: per_block, block_size: 32}
//	  activations: {scheme: affine, observer: ema_min_max, ema_ratio: 0.95}
//	types:
//	  matmul: {activations: null}  # weights only
//	  softmax: null                # float
//	names:
//	  conv1: {weights: {dtype: int8}}
//	inputs: {x: null}              # float
//	outputs: {logits: {bits: 8}}   # quantized
//	roles: {inputs: [x]}           # also params and constants
//	milestones: [0, 100, 400, 200]  # observe, quantize, freeze observers, freeze BatchNorm
//
// Beside the fields of [Tensor], in snake case, a tensor may have dtype
// instead of bits and unsigned: int2 to int8, uint2 to uint8, or float32, which
// is the same as null. A milestone of -1 is never reached; null or no list at all
// is the zero [Milestones]. Aliases and merge keys (<<: *anchor) stand for what they
// name. An empty document is the zero Config.
//
// A file in the form of Core ML Tools' optimize.torch or optimize.coreml configs is
// accepted as it is (see the package comment); [Config.Notes] says what differs.
//
// The result is valid. Errors wrap [ErrConfig] and give the key with its line and
// column: unknown, repeated or mistyped keys, words that do not exist, anything
// [Config.Validate] finds, a second document, more than [MaxBytes].
func ReadYAML(r io.Reader) (Config, error) { return readConfig(r, "", yamlTree) }

// ReadJSON reads a Config from one JSON value with the keys and rules of
// [ReadYAML]. Empty input is the zero Config.
func ReadJSON(r io.Reader) (Config, error) { return readConfig(r, "", jsonTree) }

// UnmarshalJSON is [ReadJSON].
func (c *Config) UnmarshalJSON(data []byte) error {
	parsed, err := ReadJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

func readConfig(r io.Reader, file string, parse func([]byte) (*yaml.Node, error)) (Config, error) {
	src := &source{file: file, lines: map[string]position{}, alias: map[string]string{}}
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return Config{}, fmt.Errorf("qconfig: read %s: %w", file, err)
	}
	if len(data) > MaxBytes {
		return Config{}, src.fault("", "more than %d bytes: a config is a short text, is this the right file?", MaxBytes)
	}
	root, err := parse(data)
	if err != nil {
		return Config{}, src.fault("", "%v", err)
	}
	c := Config{source: src}
	if root == nil {
		return c, nil
	}
	if err := c.readRoot(root); err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// yamlTree parses one YAML document; nil stands for an empty one.
func yamlTree(data []byte) (root *yaml.Node, err error) {
	// The parser reports its own errors by value; anything else that it might
	// throw on hostile input must not leave this package.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	if err := checkUTF8(data); err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := d.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, err
	default:
		return nil, fmt.Errorf("line %d: a second document begins: a config is one document, remove what follows the first", more.Line)
	}
	if len(doc.Content) != 1 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return expand(doc.Content[0])
}

func (c *Config) readRoot(n *yaml.Node) error {
	if isCoreML(n) {
		return c.readCoreML(n)
	}
	var unit string
	err := c.fields(n, "", map[string]reader{
		"global":           c.readGlobal,
		"types":            func(n *yaml.Node, path string) (err error) { c.Types, err = c.readEntries(n, path); return err },
		"names":            func(n *yaml.Node, path string) (err error) { c.Names, err = c.readEntries(n, path); return err },
		"inputs":           c.readTensors(&c.Inputs),
		"outputs":          c.readTensors(&c.Outputs),
		"quantize_outputs": c.readBool(&c.QuantizeOutputs),
		"roles":            c.readRoles,
		"float":            c.readBool(&c.Float),
		"milestones":       func(n *yaml.Node, path string) (err error) { c.Milestones, err = c.readMilestones(n, path); return err },
		"milestone_unit":   func(n *yaml.Node, path string) error { return readWord(c, n, path, &unit) },
	})
	if err != nil {
		return err
	}
	return c.applyUnit(unit)
}

// applyUnit gives all milestones of a parsed file its unit.
func (c *Config) applyUnit(unit string) error {
	if err := c.checkWord("milestone_unit", unit, []string{unitSteps, unitEpochs}); err != nil {
		return err
	}
	epochs := unit == unitEpochs
	set := func(s *Milestones) { s.Epochs = s.Set && epochs }
	set(&c.Milestones)
	if c.Global != nil {
		set(&c.Global.Milestones)
	}
	for _, m := range []map[string]*Layer{c.Types, c.Names} {
		for _, l := range m {
			if l != nil {
				set(&l.Milestones)
			}
		}
	}
	return nil
}
