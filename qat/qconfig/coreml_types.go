package qconfig

// This file says what a config in the form of Core ML Tools is read into.

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/words"
	"go.yaml.in/yaml/v3"
)

// coreMLForm is one of the three kinds of config that Core ML Tools has for linear
// quantization.
type coreMLForm int

const (
	linearQuantizer       coreMLForm = iota // optimize.torch: training
	postTrainingQuantizer                   // optimize.torch: weights of a trained model
	opLinearQuantizer                       // optimize.coreml: weights of a converted model
)

func (f coreMLForm) String() string {
	return [...]string{"LinearQuantizerConfig", "PostTrainingQuantizerConfig", "OptimizationConfig"}[f]
}

// coreMLReader turns a file in Core ML Tools' form into a Config.
type coreMLReader struct {
	c      *Config
	form   coreMLForm
	global *coreMLEntry
	types  []coreMLEntry
	names  []coreMLEntry

	chosen string // why it is this form, where the keys leave a choice
	typed  bool   // a config_type names the form
}

// coreMLEntry is one layer's settings with the place that they come from.
type coreMLEntry struct {
	path       string // as spelled
	key        string // kind or name of layer; "" for the global one
	layer      *Layer
	words      map[string]string // scheme and algorithm, to compare between entries
	milestones Milestones
}

// note adds a remark on the setting at path. The same remark on a second setting
// would tell nothing new.
func (c *Config) note(path, format string, args ...any) {
	n := Note{Setting: path, Text: fmt.Sprintf(format, args...)}
	if slices.ContainsFunc(c.source.notes, func(o Note) bool { return o.Text == n.Text }) {
		return
	}
	p := c.source.lines[path]
	n.Line, n.Column = p.line, p.column
	c.source.notes = append(c.source.notes, n)
}

// opConfigType is the only config_type that goqat knows.
const opConfigType = "OpLinearQuantizerConfig"

func (r *coreMLReader) readConfigType(n *yaml.Node, path string) error {
	var word string
	if err := readWord(r.c, n, path, &word); err != nil {
		return err
	}
	r.typed = true
	if word != opConfigType {
		return r.c.fault(path, "%s: goqat quantizes linearly, it neither prunes nor builds palettes: want %s", words.Quote(word), opConfigType)
	}
	return nil
}
