package packedout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat/frozen"
)

// The files of [WriteDir].
const (
	ModelFile  = "model.safetensors"
	ConfigFile = "config.json"
)

// quantConfig is the value of "quantization_config", as far as it is known in all
// versions of compressed-tensors: what is left out has the readers' defaults.
type quantConfig struct {
	Method string                 `json:"quant_method"`
	Format string                 `json:"format"`
	Status string                 `json:"quantization_status"`
	Groups map[string]groupConfig `json:"config_groups"`
	Ignore []string               `json:"ignore"`
}

type groupConfig struct {
	Targets     []string     `json:"targets"`
	Weights     weightConfig `json:"weights"`
	Activations *struct{}    `json:"input_activations"` // always null: see the package comment
}

type weightConfig struct {
	Bits      int    `json:"num_bits"`
	Type      string `json:"type"`
	Symmetric bool   `json:"symmetric"`
	Strategy  string `json:"strategy"`
	GroupSize int    `json:"group_size,omitempty"`
	Dynamic   bool   `json:"dynamic"`
}

// Config returns the JSON object {"quantization_config": …} that goes with the file. The
// program that reads both wants it in the config.json of the model. Errors are those of
// [Write].
func Config(n *frozen.Network, opt Options) ([]byte, error) {
	m, err := layOut(n, opt)
	if err != nil {
		return nil, fmt.Errorf("packedout: %w", err)
	}
	return m.mergeInto(nil)
}

// quantConfig lists the formats that occur and the modules of each.
func (m *model) quantConfig() quantConfig {
	c := quantConfig{Method: "compressed-tensors", Format: "pack-quantized", Status: "compressed",
		Groups: map[string]groupConfig{}, Ignore: []string{}}
	var formats []weightConfig
	targets := map[weightConfig][]string{}
	for _, p := range m.report.Packed {
		w := weightConfig{Bits: p.Bits, Type: "int", Symmetric: p.Symmetric, Strategy: "channel"}
		if p.Group > 0 {
			w.Strategy, w.GroupSize = "group", p.Group
		}
		if targets[w] == nil {
			formats = append(formats, w)
		}
		targets[w] = append(targets[w], p.Module)
	}
	for i, w := range formats {
		c.Groups["group_"+strconv.Itoa(i)] = groupConfig{Targets: targets[w], Weights: w}
	}
	packed := func(name string) bool {
		return slices.ContainsFunc(m.report.Packed, func(p Packed) bool { return p.Module == name })
	}
	ignore := func(name string) {
		if !slices.Contains(c.Ignore, name) && !packed(name) { // a tied head is packed
			c.Ignore = append(c.Ignore, name)
		}
	}
	for _, d := range m.report.Dense {
		ignore(d.Module)
	}
	for _, name := range m.floats {
		ignore(name)
	}
	return c
}

// configKey is where a model's config.json has the quantization.
const configKey = "quantization_config"

// mergeInto returns a config.json with the quantization set and all else kept. old may
// be nil.
func (m *model) mergeInto(old []byte) ([]byte, error) {
	all := map[string]json.RawMessage{}
	if old != nil {
		err := json.Unmarshal(old, &all)
		if err == nil && all == nil {
			err = errors.New("it is null")
		}
		if err != nil {
			return nil, fmt.Errorf("the %s that is there already is no JSON object: %w: move it away", ConfigFile, err)
		}
	}
	quant, err := marshal(m.quantConfig())
	if err != nil {
		return nil, err
	}
	all[configKey] = quant
	return marshal(all)
}

// marshal is indented JSON that leaves letters like < as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// maxConfig is the size up to which an old config.json is read.
const maxConfig = 16 << 20

// WriteDir writes model.safetensors and config.json into a folder, which is made if it
// is not there. A config.json that is there already keeps its other keys. Each file
// appears whole or not at all; errors are those of [Write] and of writing.
func WriteDir(dir string, n *frozen.Network, opt Options) (Report, error) {
	m, err := layOut(n, opt)
	if err == nil {
		err = m.writeDir(dir)
	}
	if err != nil {
		return m.report, fmt.Errorf("packedout: %w", err)
	}
	return m.report, nil
}

func (m *model) writeDir(dir string) error {
	old, err := readOld(filepath.Join(dir, ConfigFile))
	if err != nil {
		return err
	}
	config, err := m.mergeInto(old)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	err = atomicfile.WriteFile(filepath.Join(dir, ModelFile), func(w io.Writer) error {
		return safetensors.Write(w, m.tensors, m.meta)
	})
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, ConfigFile), func(w io.Writer) error {
		_, err := w.Write(config)
		return err
	})
}

// readOld reads a file that may be missing.
func readOld(path string) (raw []byte, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err = io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(raw) > maxConfig {
		err = fmt.Errorf("%s has more than %d bytes: move it away", path, maxConfig)
	}
	return raw, err
}
