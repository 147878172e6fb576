package qconfig

// This file says how the settings of one layer are read in the form of Core ML Tools.

import (
	"strings"

	"github.com/goqat/goqat/observers"
	"go.yaml.in/yaml/v3"
)

// coreMLLayer is one layer's settings in Core ML Tools' words, of all three forms,
// with the defaults of their classes.
type coreMLLayer struct {
	path       string
	algorithm  string
	scheme     string
	wDType     string
	wObserver  string
	perChan    bool
	aDType     string
	aObserver  string
	milestones Milestones

	granularity string
	blocks      []int // one entry per axis; nil: not given
	blockPath   string
	mode        string
	threshold   int
}

// The words that settings may have.
const (
	vanilla   = "vanilla"
	learnable = "learnable"
	float32T  = "float32"

	modeSymmetric = "linear_symmetric"
	modeAffine    = "linear"

	opBlockSize      = 32   // of OpLinearQuantizerConfig
	opThreshold      = 2048 // of OpLinearQuantizerConfig
	opSmallestWeight = 9    // CO/_quantization_passes.py skips weights of fewer than 10 elements

	// trainedFloor is the smallest scale in training: eps of the observers of PyTorch
	// (torch/ao/quantization/observer.py) that LinearQuantizer uses. The post-training
	// APIs have none.
	trainedFloor = 0x1p-23
)

var (
	coreMLObservers = []string{observers.KindMovingAverage, observers.KindMinMax, observers.KindEMA}
	qDTypes         = []string{"qint8", "quint8", "qint4", "quint4", float32T}
	plainDTypes     = []string{"int8", "uint8", "int4", "uint4", float32T}
)

func defaultCoreMLLayer(path string) coreMLLayer {
	return coreMLLayer{path: path, algorithm: vanilla, scheme: string(Symmetric), wDType: "int8",
		wObserver: observers.KindMovingAverage, perChan: true, aDType: "quint8", aObserver: observers.KindMovingAverage,
		granularity: string(PerChannel), mode: modeSymmetric, threshold: opThreshold}
}

// readLayer reads one layer's settings. A key that is left out has the default of
// the class, whatever global_config says: that is Core ML Tools' rule.
func (r *coreMLReader) readLayer(n *yaml.Node, path string) (coreMLEntry, error) {
	m := defaultCoreMLLayer(path)
	word := func(into *string, options []string) reader {
		return func(n *yaml.Node, path string) error {
			if err := readWord(r.c, n, path, into); err != nil {
				return err
			}
			return r.c.checkWord(path, *into, options)
		}
	}
	var known map[string]reader
	switch r.form {
	case linearQuantizer:
		known = map[string]reader{
			"algorithm":           word(&m.algorithm, []string{vanilla, learnable}),
			"quantization_scheme": word(&m.scheme, schemes),
			"weight_dtype":        word(&m.wDType, qDTypes),
			"weight_observer":     word(&m.wObserver, coreMLObservers),
			"weight_per_channel":  func(n *yaml.Node, path string) error { return r.readBool(n, path, &m.perChan) },
			"activation_dtype":    word(&m.aDType, []string{"quint8", float32T}),
			"activation_observer": word(&m.aObserver, coreMLObservers),
			"milestones": func(n *yaml.Node, path string) (err error) {
				m.milestones, err = r.c.readMilestones(n, path)
				return err
			},
		}
	case postTrainingQuantizer:
		known = map[string]reader{
			"weight_dtype":        word(&m.wDType, plainDTypes),
			"quantization_scheme": word(&m.scheme, schemes),
			"granularity":         word(&m.granularity, granularities),
			"block_size":          func(n *yaml.Node, path string) error { return r.readBlocks(n, path, &m) },
		}
	case opLinearQuantizer:
		known = map[string]reader{
			"config_type":      r.readConfigType,
			"mode":             func(n *yaml.Node, path string) error { return r.readMode(n, path, &m.mode) },
			"dtype":            word(&m.wDType, plainDTypes[:4]),
			"granularity":      word(&m.granularity, granularities),
			"block_size":       func(n *yaml.Node, path string) error { return r.readBlocks(n, path, &m) },
			"weight_threshold": func(n *yaml.Node, path string) error { return r.readThreshold(n, path, &m.threshold) },
		}
	}
	if err := r.c.fields(n, path, known); err != nil {
		return coreMLEntry{}, err
	}
	if err := r.checkBlocks(&m); err != nil {
		return coreMLEntry{}, err
	}
	return r.layer(m), nil
}

// readBool reads true or false, and 0 or 1 as Core ML Tools' files may have it. Any
// text, "false" too, counts as true there: that is refused.
func (r *coreMLReader) readBool(n *yaml.Node, path string, into *bool) error {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" && (n.Value == "0" || n.Value == "1") {
		*into = n.Value == "1"
		return nil
	}
	if err := r.c.scalar(n, path, "!!bool", "true or false"); err != nil {
		return err
	}
	s, err := r.c.readSwitch(n, path)
	*into = s == Yes
	return err
}

// readMode reads linear or linear_symmetric in any case.
func (r *coreMLReader) readMode(n *yaml.Node, path string, into *string) error {
	if err := readWord(r.c, n, path, into); err != nil {
		return err
	}
	*into = strings.ToLower(*into)
	return r.c.checkWord(path, *into, []string{modeSymmetric, modeAffine})
}

func (r *coreMLReader) readThreshold(n *yaml.Node, path string, into *int) error {
	if isNull(n) {
		return r.c.fault(path, "null: Core ML Tools accepts it and then fails: write 0 for no limit, or leave the key out for %d", opThreshold)
	}
	v, err := r.c.readInt(n, path)
	if err == nil && v < 0 {
		err = r.c.fault(path, "%d: want at least 0", v)
	}
	*into = v
	return err
}

// readBlocks reads a block size: a number, for the input channels, or one number
// for each axis of the weights, output channels first.
func (r *coreMLReader) readBlocks(n *yaml.Node, path string, m *coreMLLayer) error {
	m.blockPath = path
	if isNull(n) {
		return nil
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
		if len(items) < 2 {
			return r.c.fault(path, "a list of %d: want one number for each axis of the weights, or a single number", len(items))
		}
	} else {
		m.blocks = []int{1}
	}
	for _, item := range items {
		v, err := r.c.readInt(item, path)
		if err != nil {
			return err
		}
		if v < 0 {
			return r.c.fault(path, "%d: want at least 0", v)
		}
		m.blocks = append(m.blocks, v)
	}
	return nil
}

// checkBlocks checks block_size against granularity and the shape of goqat's
// blocks, which lie along the input channels of one output channel.
func (r *coreMLReader) checkBlocks(m *coreMLLayer) error {
	given, perBlock := m.blocks != nil, m.granularity == string(PerBlock)
	switch {
	case !perBlock && given && r.form == postTrainingQuantizer:
		return r.c.fault(m.blockPath, "with granularity %s: set granularity: per_block, or leave block_size out", m.granularity)
	case !perBlock:
		m.blocks = nil // OpLinearQuantizerConfig ignores it then
		return nil
	case !given && r.form == postTrainingQuantizer:
		return r.c.fault(join(m.path, "granularity"), "per_block without a block_size: add one, such as block_size: 32")
	case !given:
		m.blocks = []int{1, opBlockSize}
	}
	if m.blocks[0] == 0 && r.form == postTrainingQuantizer {
		m.blocks[0] = 1 // TU/validation_utils.py does the same
	}
	for _, b := range m.blocks[2:] {
		if b != 0 {
			return r.c.fault(m.blockPath, "blocks within a kernel (%v): goqat's blocks hold whole kernels: want 0 after the first two numbers", m.blocks)
		}
	}
	switch {
	case m.blocks[0] != 1:
		return r.c.fault(m.blockPath, "blocks of %d output channels (%v): goqat's blocks lie within one: want 1 as the first number", m.blocks[0], m.blocks)
	case m.blocks[1] == 0:
		r.c.note(m.blockPath, "0 cuts nothing into blocks: the scale of the weights is per channel")
	}
	return nil
}

// layer turns Core ML Tools' words into settings. All fields are set, so that
// nothing is inherited.
func (r *coreMLReader) layer(m coreMLLayer) coreMLEntry {
	var l Layer
	switch r.form {
	case linearQuantizer:
		l = Layer{Weights: r.trainedWeights(m), Activations: r.activations(m)}
	case postTrainingQuantizer:
		l = Layer{Weights: r.roundedWeights(m, SchemeSetting(m.scheme)), Activations: Tensor{Off: true}}
	case opLinearQuantizer:
		scheme := Symmetric
		if m.mode == modeAffine {
			scheme = Affine
		}
		m.scheme = string(scheme)
		w := r.roundedWeights(m, scheme)
		w.WeightThreshold = max(m.threshold, opSmallestWeight)
		l = Layer{Weights: w, Activations: Tensor{Off: true}}
	}
	return coreMLEntry{path: m.path, layer: &l, milestones: m.milestones,
		words: map[string]string{"quantization_scheme": m.scheme, "algorithm": m.algorithm}}
}

// dtype splits a type of codes, with or without the q, into width and sign.
func dtype(word string) (bits int, unsigned Switch) {
	word = strings.TrimPrefix(word, "q")
	if unsigned = No; strings.HasPrefix(word, "u") {
		unsigned = Yes
	}
	return int(word[len(word)-1] - '0'), unsigned
}

// trainedWeights are weights as LinearQuantizer trains them: the full range of
// codes, and a range that is observed over time.
func (r *coreMLReader) trainedWeights(m coreMLLayer) Tensor {
	if m.wDType == float32T {
		return Tensor{Off: true}
	}
	t := Tensor{Scheme: SchemeSetting(m.scheme), Granularity: PerTensor, NarrowRange: No, Observer: m.wObserver, Estimator: r.estimator(m), MinScale: trainedFloor}
	t.Bits, t.Unsigned = dtype(m.wDType)
	if m.perChan {
		t.Granularity = PerChannel
	}
	if t.Unsigned == Yes && t.Scheme == Symmetric && t.Bits == 8 {
		r.c.note(r.written(m.path, "weight_dtype"), "the zero point of symmetric uint8 weights is 127, the middle of 0 to 255 rounded down as for 4 bits; Core ML Tools has 128")
	}
	r.c.note(m.path, "weights use every code, -128 of int8 too, as in Core ML Tools' training; goqat's own default, like Core ML Tools' post-training APIs, leaves the lowest out")
	if m.wObserver != observers.KindMinMax {
		r.c.note(r.written(m.path, "weight_observer"), "the range of weights is averaged over the past, as in Core ML Tools, and lags behind the weights; goqat's own default, latest, reads it off the weights at each step")
	}
	return t
}

func (r *coreMLReader) activations(m coreMLLayer) Tensor {
	if m.aDType == float32T {
		return Tensor{Off: true}
	}
	if m.scheme == string(Symmetric) {
		r.c.note(r.written(m.path, "activation_dtype"), "symmetric activations that may be negative are int8 with zero point 0: the codes of Core ML Tools' quint8 with zero point 128, less 128, and the same values")
	}
	return Tensor{Bits: 8, Scheme: SchemeSetting(m.scheme), Granularity: PerTensor, NarrowRange: No, Unsigned: Auto,
		Observer: m.aObserver, Estimator: r.estimator(m), MinScale: trainedFloor}
}

func (r *coreMLReader) estimator(m coreMLLayer) Estimator {
	if m.algorithm == vanilla {
		return STE
	}
	r.c.note(r.written(m.path, "algorithm"), "scales are learned from the first step that quantizes; Core ML Tools overwrites them while observers are on, and a zero point's small steps are lost to rounding there, not here")
	return LSQ
}

// written is the path of a key, or that of its mapping where the key is left out.
func (r *coreMLReader) written(path, key string) string {
	if at := join(path, key); r.c.source.lines[at] != (position{}) {
		return at
	}
	return path
}

// roundedWeights are weights as the post-training APIs round them: the narrow range
// for symmetric ones, the range of the weights as they are.
func (r *coreMLReader) roundedWeights(m coreMLLayer, scheme SchemeSetting) Tensor {
	if m.wDType == float32T {
		return Tensor{Off: true}
	}
	t := Tensor{Scheme: scheme, Granularity: GranularitySetting(m.granularity), NarrowRange: No, Observer: observers.KindLatest, Estimator: STE}
	t.Bits, t.Unsigned = dtype(m.wDType)
	if scheme == Symmetric {
		t.NarrowRange = Yes
	} else {
		r.c.note(m.path, "zero points of affine weights are rounded as in training: for a range such as (-1, 1), in the middle of two codes, they are one code off Core ML Tools' post-training ones")
	}
	if t.Granularity == PerBlock {
		if t.BlockSize = m.blocks[1]; t.BlockSize == 0 { // the whole axis
			t.Granularity = PerChannel
			return t
		}
		r.c.note(r.written(m.path, "block_size"), "a block size that does not divide the input channels leaves a shorter last block; Core ML Tools would leave such weights float")
	}
	return t
}
