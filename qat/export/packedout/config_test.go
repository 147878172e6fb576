package packedout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
)

const wantConfig = `{
  "quantization_config": {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "config_groups": {
      "group_0": {
        "targets": [
          "fc1"
        ],
        "weights": {
          "num_bits": 8,
          "type": "int",
          "symmetric": true,
          "strategy": "channel",
          "dynamic": false
        },
        "input_activations": null
      },
      "group_1": {
        "targets": [
          "head"
        ],
        "weights": {
          "num_bits": 4,
          "type": "int",
          "symmetric": true,
          "strategy": "group",
          "group_size": 2,
          "dynamic": false
        },
        "input_activations": null
      }
    },
    "ignore": [
      "conv1"
    ]
  }
}
`

func TestConfig(t *testing.T) {
	got, err := Config(mixed(t), Options{Dense: true})
	if err != nil || string(got) != wantConfig {
		t.Errorf("config %s (%v), want %s", got, err, wantConfig)
	}
	got, err = Config(linearNet(t, fakequant.Spec{Bits: 4, Scheme: fakequant.Affine}, true, 2, 4), Options{})
	if err != nil || !bytes.Contains(got, []byte(`"symmetric": false`)) || !bytes.Contains(got, []byte(`"ignore": []`)) {
		t.Errorf("config of an affine format: %s (%v)", got, err)
	}
}

// TestIgnoreIsComplete: every module whose weights are float in the file is ignored, a tied
// head that is packed is not.
func TestIgnoreIsComplete(t *testing.T) {
	m := frozentest.New(t)
	ids := m.Input("ids", []int{-1}, nil)
	table := m.Weight("emb.weight", []int{10, 8}, frozentest.PerChannel(8, 0))
	other := m.Weight("pos.weight", []int{10, 8}, nil)
	e := m.Layer("lookup", frozen.Gather{}, nil, nil, table, ids)
	p := m.Layer("pos", frozen.Gather{}, nil, nil, other, ids)
	h := m.Layer("add", frozen.Binary{Fn: "add"}, nil, nil, e, p)
	y := m.Layer("fc", frozen.MatMul{}, nil, nil, h, m.Weight("fc.weight", []int{8, 8}, nil))
	z := m.Layer("head", frozen.MatMul{TransB: true}, nil, nil, y, table)
	got, err := Config(m.Net(z), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Quant quantConfig `json:"quantization_config"`
	}
	if err := json.Unmarshal(got, &c); err != nil {
		t.Fatal(err)
	}
	if want := []string{"pos", "fc"}; !slices.Equal(c.Quant.Ignore, want) || !slices.Equal(c.Quant.Groups["group_0"].Targets, []string{"emb"}) {
		t.Errorf("ignored %q, packed %q, want %q and emb", c.Quant.Ignore, c.Quant.Groups["group_0"].Targets, want)
	}
}

// TestWriteDir: both files are there; an old config keeps what is not about
// quantization.
func TestWriteDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if _, err := WriteDir(dir, mixed(t), Options{Dense: true}); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if err != nil || string(config) != wantConfig {
		t.Errorf("config %s (%v)", config, err)
	}
	var want bytes.Buffer
	if _, err := Write(&want, mixed(t), Options{Dense: true}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, ModelFile)); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("the file differs from what Write writes (%v)", err)
	}
	old := `{"model_type": "<mine>", "layers": 3, "quantization_config": {"quant_method": "gptq"}}`
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteDir(dir, mixed(t), Options{Dense: true}); err != nil {
		t.Fatal(err)
	}
	if config, err = os.ReadFile(filepath.Join(dir, ConfigFile)); err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(config, &all); err != nil {
		t.Fatal(err)
	}
	if all["model_type"] != "<mine>" || all["layers"] != 3.0 || !strings.Contains(string(config), "<mine>") {
		t.Errorf("other keys changed: %s", config)
	}
	if q := all["quantization_config"].(map[string]any); q["quant_method"] != "compressed-tensors" {
		t.Errorf("quantization_config is %v", q)
	}
}

// TestBadDir: a config that cannot be kept is not replaced, and no model is written
// beside it.
func TestBadDir(t *testing.T) {
	n := mixed(t)
	for _, text := range []string{"not JSON", "[1]", "null", "{} {}"} {
		dir := t.TempDir()
		path := filepath.Join(dir, ConfigFile)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := WriteDir(dir, n, Options{Dense: true}); err == nil || !strings.Contains(err.Error(), ConfigFile) {
			t.Errorf("%q: %v, want an error about %s", text, err, ConfigFile)
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("%q was replaced by %q", text, got)
		}
		if _, err := os.Stat(filepath.Join(dir, ModelFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: there is a model: %v", text, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteDir(file, n, Options{Dense: true}); err == nil {
		t.Error("wrote into a file as if it were a folder")
	}
	large := t.TempDir()
	if err := os.WriteFile(filepath.Join(large, ConfigFile), make([]byte, maxConfig+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteDir(large, n, Options{Dense: true}); err == nil || !strings.Contains(err.Error(), fmt.Sprint(maxConfig)) {
		t.Errorf("a large config: %v", err)
	}
}
