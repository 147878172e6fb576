package qconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/words"
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
// names, roles, milestones and float:
//
//	global:
//	  weights: {bits: 4, granularity: per_block, block_size: 32}
//	  activations: {scheme: affine, observer: ema_min_max, ema_ratio: 0.95}
//	types:
//	  matmul: {activations: null}  # weights only
//	  softmax: null                # float
//	names:
//	  conv1: {weights: {dtype: int8}}
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

// isNull says whether n is a null.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func (c *Config) readRoot(n *yaml.Node) error {
	if isCoreML(n) {
		return c.readCoreML(n)
	}
	var unit string
	err := c.fields(n, "", map[string]reader{
		"global":         c.readGlobal,
		"types":          func(n *yaml.Node, path string) (err error) { c.Types, err = c.readEntries(n, path); return err },
		"names":          func(n *yaml.Node, path string) (err error) { c.Names, err = c.readEntries(n, path); return err },
		"roles":          c.readRoles,
		"float":          c.readFloat,
		"milestones":     func(n *yaml.Node, path string) (err error) { c.Milestones, err = c.readMilestones(n, path); return err },
		"milestone_unit": func(n *yaml.Node, path string) error { return readWord(c, n, path, &unit) },
	})
	if err != nil {
		return err
	}
	return c.applyUnit(unit)
}

// The units that milestones may count.
const (
	unitSteps  = "steps"
	unitEpochs = "epochs"
)

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
	return c.fields(n, path, known)
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

// readFloat reads true or false.
func (c *Config) readFloat(n *yaml.Node, path string) error {
	s, err := c.readSwitch(n, path)
	if err == nil && s == Auto {
		err = c.fault(path, "auto: want true or false")
	}
	c.Float = s == Yes
	return err
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

// readInt reads a whole number in decimal.
func (c *Config) readInt(n *yaml.Node, path string) (int, error) {
	if err := c.scalar(n, path, "!!int", "a whole number"); err != nil {
		return 0, err
	}
	// Only one spelling: 010 is eight to some readers and ten to others.
	v, err := strconv.Atoi(n.Value)
	if err != nil || strconv.Itoa(v) != n.Value {
		return 0, c.fault(path, "%s: want a whole number in plain decimal digits", words.Quote(n.Value))
	}
	return v, nil
}

// readCount reads a whole number that may not be 0, which in Tensor means
// "not set".
func (c *Config) readCount(n *yaml.Node, path string) (int, error) {
	v, err := c.readInt(n, path)
	if err == nil && v <= 0 {
		err = c.fault(path, "%d: want at least 1, or leave the key out for the default", v)
	}
	return v, err
}

func (c *Config) readConstant(n *yaml.Node, path string, out *float64) error {
	if n.ShortTag() != "!!int" {
		if err := c.scalar(n, path, "!!float", "a number"); err != nil {
			return err
		}
	}
	v, err := strconv.ParseFloat(n.Value, 64)
	if err != nil {
		return c.fault(path, "%s: want a plain decimal number, such as 0.01", words.Quote(n.Value))
	}
	if v == 0 {
		return c.fault(path, "0: want above 0, or leave the key out for the default")
	}
	*out = v
	return nil
}

func (c *Config) readSwitch(n *yaml.Node, path string) (Switch, error) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		if v, err := strconv.ParseBool(n.Value); err != nil {
			return "", c.fault(path, "%s: want true or false", words.Quote(n.Value))
		} else if v {
			return Yes, nil
		}
		return No, nil
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value == string(Auto) {
		return Auto, nil
	}
	return "", c.scalar(n, path, "!!bool", "true, false or (for unsigned of activations) auto")
}

// readWord reads a text that may not be empty, which in Tensor means "not
// set".
func readWord[T ~string](c *Config, n *yaml.Node, path string, out *T) error {
	if err := c.scalar(n, path, "!!str", "a text"); err != nil {
		return err
	}
	if n.Value == "" {
		return c.fault(path, "the text is empty: write a word, or leave it out")
	}
	*out = T(n.Value)
	return nil
}
