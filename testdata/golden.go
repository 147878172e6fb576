package testdata

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// Golden decodes the cases of the golden file of that name, such as
// "fq_per_tensor", each into a T: a struct with fields of type [Tensor], [Float]
// and the plain JSON types, named by json tags. Fields that T lacks are skipped.
// golden/README.md explains the files. An unknown name is an error that lists the
// known ones.
func Golden[T any](name string) ([]T, error) {
	var file struct{ Cases []T }
	if err := GoldenFile(name, &file); err != nil {
		return nil, err
	}
	if len(file.Cases) == 0 {
		return nil, fmt.Errorf("golden file %s has no cases", name)
	}
	return file.Cases, nil
}

// GoldenFile reads a whole golden file, which may have more than cases, into v as
// [json.Unmarshal] does.
func GoldenFile(name string, v any) error {
	raw, err := goldenFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("golden file %s: %w", name, err)
	}
	return nil
}

// GoldenNames lists the golden files, sorted.
func GoldenNames() []string {
	entries, err := files.ReadDir("golden")
	if err != nil {
		return nil // cannot happen: the folder is embedded
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json.gz"); ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func goldenFile(name string) ([]byte, error) {
	packed, err := files.ReadFile("golden/" + name + ".json.gz")
	if err != nil {
		return nil, fmt.Errorf("no golden file %q: want one of %s", name, strings.Join(GoldenNames(), ", "))
	}
	raw, err := gunzip(packed)
	if err != nil {
		return nil, fmt.Errorf("golden file %s: %w", name, err)
	}
	return raw, nil
}

// Float is a float32 read from JSON without loss: a number, or one of the
// strings "NaN", "Inf" and "-Inf". The sign of -0.0 and denormals are kept.
type Float float32

// UnmarshalJSON implements [json.Unmarshaler].
func (f *Float) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"NaN"`:
		*f = Float(math.NaN())
		return nil
	case `"Inf"`:
		*f = Float(math.Inf(1))
		return nil
	case `"-Inf"`:
		*f = Float(math.Inf(-1))
		return nil
	}
	// ParseFloat with 32 bits rounds the decimal once, straight to float32.
	v, err := strconv.ParseFloat(string(b), 32)
	if err != nil {
		return fmt.Errorf("golden number %s: %w", b, err)
	}
	*f = Float(v)
	return nil
}

// Tensor is a shape and its row-major elements, read without loss as [Float] is.
// Tensors of integers are read as floats too: those in the files are below 2^24.
type Tensor struct {
	Shape []int
	F32   []float32
}

// UnmarshalJSON implements [json.Unmarshaler]. It fails unless data has exactly
// as many elements as the shape says.
func (t *Tensor) UnmarshalJSON(b []byte) error {
	var raw struct {
		Shape []int
		Data  []Float
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	n := 1
	for _, d := range raw.Shape {
		n *= d
	}
	if raw.Shape == nil || n != len(raw.Data) {
		return fmt.Errorf("golden tensor of shape %v has %d elements", raw.Shape, len(raw.Data))
	}
	t.Shape, t.F32 = raw.Shape, make([]float32, n)
	for i, v := range raw.Data {
		t.F32[i] = float32(v)
	}
	return nil
}

// Ints returns the elements of a tensor of integers. It fails on an element that
// is not a whole number or is too large for a float32 to hold exactly.
func (t Tensor) Ints() ([]int, error) {
	out := make([]int, len(t.F32))
	for i, v := range t.F32 {
		if out[i] = int(v); float32(out[i]) != v || v < -1<<24 || v > 1<<24 {
			return nil, fmt.Errorf("element %d of a golden tensor is %v, not a whole number", i, v)
		}
	}
	return out, nil
}
