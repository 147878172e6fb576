package qconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/words"
)

// fullConfig is what testdata/config/full.yaml and full.json say.
func fullConfig() Config {
	return Config{
		Global: &Layer{
			Weights:     Tensor{Bits: 4, Scheme: Symmetric, Granularity: PerBlock, BlockSize: 16, NarrowRange: Yes, Observer: "latest"},
			Activations: Tensor{Bits: 8, Scheme: Affine, Unsigned: Auto, NarrowRange: No, Observer: "ema_min_max", EMARatio: 0.95, Estimator: LSQ, ScaleInit: "lsq"},
		},
		Types: map[string]*Layer{
			"matmul":   {Weights: Tensor{Bits: 4, Unsigned: Yes}, Activations: Tensor{Off: true}},
			"softmax":  nil,
			"max_pool": {},
		},
		Names: map[string]*Layer{
			"block1.conv": {Weights: Tensor{Off: true}},
			"fc":          nil,
		},
		Inputs:          map[string]*Tensor{"x": {Bits: 6, Observer: "min_max"}, "1": nil},
		Outputs:         map[string]*Tensor{"logits": {}, "boxes": {Bits: 4}, "mask": nil},
		QuantizeOutputs: true,
		Roles:           Roles{Inputs: []string{"x", "1"}, Params: []string{"w"}, Constants: []string{"mask"}, Batch: map[string]int{"1": 0, "h": -1, "x": 1}},
		Milestones:      MilestonesAt(0, 10, 100, Never),
	}
}

// equalConfig compares all but where the settings were written.
func equalConfig(a, b Config) bool {
	a.source, b.source = nil, nil
	return reflect.DeepEqual(a, b)
}

func TestReadFile(t *testing.T) {
	for _, name := range []string{"full.yaml", "full.json"} {
		c, err := ReadFile(filepath.Join("testdata", "config", name))
		if err != nil {
			t.Fatal(err)
		}
		if want := fullConfig(); !equalConfig(c, want) {
			t.Errorf("%s: got %+v, want %+v", name, c, want)
		}
	}
}

func TestReadFileErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := ReadFile(filepath.Join(dir, "absent.yml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	wantConfigError(t, "unknown extension", second(ReadFile(write("c.toml", ""))), `c.toml: unknown extension ".toml": want .yaml, .yml or .json`)
	wantConfigError(t, "path", second(ReadFile(write("c.YML", "names: {f: {weights: {bit: 4}}}"))), `c.YML: line 1, column 23: names.f.weights.bit: unknown key: did you mean "bits"?`)
	wantConfigError(t, "path of a syntax error", second(ReadFile(write("c.json", "{"))), `c.json: line 1, column 1: not JSON`)
	c, err := ReadFile(write("ok.yaml", "\nnames: {cnov1: null}"))
	if err != nil {
		t.Fatal(err)
	}
	wantConfigError(t, "path after parsing", c.CheckNames([]string{"conv1"}, nil), `ok.yaml: line 2, column 9: names.cnov1: no layer "cnov1": did you mean "conv1"?`)
}

func second(_ Config, err error) error { return err }

func wantConfigError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrConfig) {
		t.Errorf("%s: error %v, want ErrConfig", name, err)
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error\n  %v\nlacks\n  %s", name, err, want)
	}
}

func TestParseGood(t *testing.T) {
	layer := func(w Tensor) *Layer { return &Layer{Weights: w} }
	off := offLayer()
	for _, tc := range []struct {
		text string
		want Config
	}{
		{"", Config{}},
		{"# nothing\n", Config{}},
		{"---\n", Config{}},
		{"null", Config{}},
		{"{}", Config{}},
		{"types:\nnames:\nroles:\nmilestones:\n", Config{}},
		{"global:", Config{Global: &off}},
		{"global: ~", Config{Global: &off}},
		{"global: {}", Config{Global: &Layer{}}},
		{"global: {weights: {}}", Config{Global: &Layer{}}},
		{"global: {weights: {dtype: int4}}", Config{Global: layer(Tensor{Bits: 4, Unsigned: No})}},
		{"global: {weights: {dtype: uint2}}", Config{Global: layer(Tensor{Bits: 2, Unsigned: Yes})}},
		{"global: {weights: {bits: 3, unsigned: true}}", Config{Global: layer(Tensor{Bits: 3, Unsigned: Yes})}},
		{"global: {weights: {observer: ema_min_max, ema_ratio: 0.5}}", Config{Global: layer(Tensor{Observer: "ema_min_max", EMARatio: 0.5})}},
		{"global: {activations: {averaging_constant: 1}}", Config{Global: &Layer{Activations: Tensor{AveragingConstant: 1}}}},
		{"names: {\"null\": null}\r\n", Config{Names: map[string]*Layer{"null": nil}}},
		{"names: {on: null}", Config{Names: map[string]*Layer{"on": nil}}},
		{"roles: {inputs: []}", Config{}},
		{"roles: {constants: [m], batch: {x: 1, h: -1}}", Config{Roles: Roles{Constants: []string{"m"}, Batch: map[string]int{"x": 1, "h": -1}}}},
		{"milestones: [-1, -1, -1, -1]", Config{Milestones: MilestonesAt(-1, -1, -1, -1)}},
		{"milestones: [0, 0, 1, 0]", Config{Milestones: MilestonesAt(0, 0, 1, 0)}},
		{"--- {roles: {inputs: [x]}}\n...\n", Config{Roles: Roles{Inputs: []string{"x"}}}},
	} {
		c, err := ReadYAML(strings.NewReader(tc.text))
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
		} else if !equalConfig(c, tc.want) {
			t.Errorf("%q: got %+v, want %+v", tc.text, c, tc.want)
		}
	}
}

func TestReadYAMLErrors(t *testing.T) {
	for _, tc := range badYAML {
		_, err := ReadYAML(strings.NewReader(tc.text))
		wantConfigError(t, words.Quote(tc.text), err, tc.want)
	}
}

func TestReadJSONErrors(t *testing.T) {
	for _, tc := range badJSON {
		_, err := ReadJSON(strings.NewReader(tc.text))
		wantConfigError(t, words.Quote(tc.text), err, tc.want)
	}
}

func TestParseReadError(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, parse := range []func() error{
		func() error { return second(ReadYAML(failingReader{broken})) },
		func() error { return second(ReadJSON(failingReader{broken})) },
	} {
		if err := parse(); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// An error repeats only a part of what it complains about.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, text := range []string{
		`{"` + long + `": 1}`, `{"names": {"` + long + `": 1}}`, `{"roles": {"inputs": "` + long + `"}}`,
		`{"roles": {"inputs": ["` + long + `", "` + long + `"]}}`, `{"global": {"weights": {"scheme": "` + long + `"}}}`,
		`{"milestones": [` + strings.Repeat("1", 100_000) + `]}`, `{"milestones": [0,0,0,` + strings.Repeat("1", 100_000) + `]}`,
	} {
		const limit = 1000 // far below the 100,000 letters of the input
		_, err := ReadJSON(strings.NewReader(text))
		if err == nil || len(err.Error()) > limit {
			t.Errorf("%.40s: error of %d bytes, want 1 to %d", text, len(err.Error()), limit)
		}
	}
}

// The canonical form, byte for byte.
func TestYAML(t *testing.T) {
	got, err := fullConfig().YAML()
	if err != nil {
		t.Fatal(err)
	}
	want := `global:
  weights: {bits: 4, scheme: symmetric, granularity: per_block, block_size: 16, narrow_range: true, observer: latest}
  activations: {bits: 8, scheme: affine, narrow_range: false, unsigned: auto, observer: ema_min_max, ema_ratio: 0.95, estimator: lsq, scale_init: lsq}
types:
  matmul:
    weights: {bits: 4, unsigned: true}
    activations: null
  max_pool: {}
  softmax: null
names:
  block1.conv: {weights: null}
  fc: null
inputs:
  "1": null
  x: {bits: 6, observer: min_max}
outputs:
  boxes: {bits: 4}
  logits: {}
  mask: null
quantize_outputs: true
roles:
  inputs: [x, "1"]
  params: [w]
  constants: [mask]
  batch: {"1": 0, h: -1, x: 1}
milestones: [0, 10, 100, -1]
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMarshalJSON(t *testing.T) {
	c := fullConfig()
	got, err := json.Marshal(struct{ Config Config }{c})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Config":{"global":{"weights":{"bits":4,"scheme":"symmetric","granularity":"per_block","block_size":16,"narrow_range":true,"observer":"latest"},` +
		`"activations":{"bits":8,"scheme":"affine","narrow_range":false,"unsigned":"auto","observer":"ema_min_max","ema_ratio":0.95,"estimator":"lsq","scale_init":"lsq"}},` +
		`"types":{"matmul":{"weights":{"bits":4,"unsigned":true},"activations":null},"max_pool":{},"softmax":null},` +
		`"names":{"block1.conv":{"weights":null},"fc":null},"inputs":{"1":null,"x":{"bits":6,"observer":"min_max"}},"outputs":{"boxes":{"bits":4},"logits":{},"mask":null},"quantize_outputs":true,"roles":{"inputs":["x","1"],"params":["w"],"constants":["mask"],"batch":{"1":0,"h":-1,"x":1}},"milestones":[0,10,100,-1]}}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var back struct{ Config Config }
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if !equalConfig(back.Config, c) {
		t.Errorf("after a round trip: %+v", back.Config)
	}
	before := back.Config
	if err := json.Unmarshal([]byte(`{"Config":{"globl":{}}}`), &back); !errors.Is(err, ErrConfig) {
		t.Errorf("bad JSON: %v", err)
	} else if !equalConfig(back.Config, before) {
		t.Error("a failed UnmarshalJSON changed the config")
	}
}

func TestWriteZeroAndBad(t *testing.T) {
	if b, err := (Config{}).YAML(); err != nil || len(b) != 0 {
		t.Errorf("zero config as YAML: %q, %v", b, err)
	}
	if b, err := (Config{}).MarshalJSON(); err != nil || string(b) != "{}" {
		t.Errorf("zero config as JSON: %q, %v", b, err)
	}
	bad := Config{Roles: Roles{Inputs: []string{""}}}
	if _, err := bad.YAML(); !errors.Is(err, ErrConfig) {
		t.Errorf("YAML of a bad config: %v", err)
	}
	if _, err := bad.MarshalJSON(); !errors.Is(err, ErrConfig) {
		t.Errorf("JSON of a bad config: %v", err)
	}
}

// What goes in comes out, in both forms, and writing it again changes no byte.
func checkRoundTrip(t *testing.T, c Config) {
	t.Helper()
	for _, form := range []struct {
		name  string
		write func(Config) ([]byte, error)
		parse func([]byte) (Config, error)
	}{
		{"YAML", Config.YAML, func(b []byte) (Config, error) { return ReadYAML(bytes.NewReader(b)) }},
		{"JSON", Config.MarshalJSON, func(b []byte) (Config, error) { return ReadJSON(bytes.NewReader(b)) }},
	} {
		text, err := form.write(c)
		if err != nil {
			t.Fatalf("%s: %v", form.name, err)
		}
		if len(text) > MaxBytes {
			continue // a text near the limit may be longer in canonical form
		}
		back, err := form.parse(text)
		if err != nil {
			t.Fatalf("%s: %v\nin\n%s", form.name, err, text)
		}
		if !equalConfig(back, normal(c)) {
			t.Fatalf("%s: got %+v, want %+v\nfrom\n%s", form.name, back, c, text)
		}
		if again, err := form.write(back); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%s: written again: %v\n%s\nwant\n%s", form.name, err, again, text)
		}
	}
}

// normal drops empty maps, which a file cannot tell from absent ones.
func normal(c Config) Config {
	if len(c.Types) == 0 {
		c.Types = nil
	}
	if len(c.Names) == 0 {
		c.Names = nil
	}
	return c
}

func TestRoundTripOddNames(t *testing.T) {
	for _, name := range []string{
		"1", "true", "null", "~", "<<", "=", "-", "? x", "a: b", "a #b", "&a", "*a", "!x", "%x", "@x", "`x", "'", "\"", "{", "[",
		" lead", "trail ", "a\nb", "a\r\nb", "\t", "\x00", "\x7f", "\u0085", "\u2028", "\ufeff", "\ufffe", "é", "日本", "😀",
		"2026-01-02", "0x10", "1e3", ".nan", "a\\b", strings.Repeat("long ", 500), "---", "...", "--- a",
	} {
		checkRoundTrip(t, Config{
			Names: map[string]*Layer{name: {Weights: Tensor{Bits: 4}}, "other": nil},
			Roles: Roles{Inputs: []string{name}},
		})
	}
}

func FuzzReadYAML(f *testing.F) {
	seedConfigs(f)
	f.Fuzz(func(t *testing.T, text []byte) { fuzzConfig(t, second2(ReadYAML(bytes.NewReader(text)))) })
}

func FuzzReadJSON(f *testing.F) {
	seedConfigs(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ReadJSON(bytes.NewReader(text))
		if err == nil && len(bytes.TrimSpace(text)) > 0 && !json.Valid(text) {
			t.Fatal("accepted what is not JSON")
		}
		fuzzConfig(t, parsed{c, err})
	})
}

type parsed struct {
	config Config
	err    error
}

func second2(c Config, err error) parsed { return parsed{c, err} }

func fuzzConfig(t *testing.T, p parsed) {
	if p.err != nil {
		if !errors.Is(p.err, ErrConfig) || p.err.Error() == ErrConfig.Error() {
			t.Fatalf("error %v says nothing", p.err)
		}
		return
	}
	if err := p.config.Validate(); err != nil {
		t.Fatalf("accepted, but %v", err)
	}
	checkRoundTrip(t, p.config)
	for _, kind := range []string{"conv", "matmul", "softmax"} {
		l, _ := p.config.Resolve("fc", kind)
		for part, set := range map[part]Tensor{weights: l.Weights, activations: l.Activations} {
			if set.Off {
				continue
			}
			if err := set.Spec(0, 1, false).Validate(); err != nil {
				t.Fatalf("%s %s resolves to %+v: %v", kind, part, set, err)
			}
		}
	}
}

func seedConfigs(f *testing.F) {
	for _, name := range []string{"full.yaml", "full.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", "config", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, tc := range append(badYAML[:len(badYAML):len(badYAML)], badJSON...) {
		if len(tc.text) < 10_000 {
			f.Add([]byte(tc.text))
		}
	}
}
