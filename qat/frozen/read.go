package frozen

// This file says how a file becomes a network.

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/safetensors"
)

// Read reads a file of the given size that Write wrote. The network equals the
// one that was written, field by field, and runs to the same bits; a scalar's
// Shape is empty, not nil. Anything else is an error that says what is wrong:
// another format or version, unknown or misspelt fields, missing or superfluous
// tensors, a checksum that does not fit, a network that [Network.Validate]
// refuses. Most wrap ErrFormat. It allocates in proportion to size, whatever the
// file claims.
func Read(r io.ReaderAt, size int64) (*Network, error) {
	f, err := safetensors.Read(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	meta := f.Metadata
	if err := checkMetadata(meta); err != nil {
		return nil, err
	}
	n, err := decodeNetwork(meta)
	if err != nil {
		return nil, err
	}
	if err := n.load(f); err != nil {
		return nil, err
	}
	if err := n.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return n, nil
}

// ReadFile reads a file that WriteFile wrote. Errors as in Read, with the path.
func ReadFile(path string) (*Network, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	n, err := Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// checkMetadata wants this format in this version, and no key that it ignores.
func checkMetadata(meta map[string]string) error {
	if got := meta[keyFormat]; got != formatName {
		return fmt.Errorf("%w: format %q in the metadata, want %q: not a frozen network", ErrFormat, got, formatName)
	}
	if got := meta[keyVersion]; got != formatVersion {
		return fmt.Errorf("%w: version %q, this program reads version %q: use a program that knows it", ErrFormat, got, formatVersion)
	}
	for key := range meta {
		switch key {
		case keyFormat, keyVersion, keyNetwork, keyNotes, keyChecksum:
		default:
			return fmt.Errorf("%w: unknown metadata key %q", ErrFormat, key)
		}
	}
	return nil
}

// decodeNetwork makes the network without its numbers.
func decodeNetwork(meta map[string]string) (*Network, error) {
	var f networkFile
	if err := strictJSON(keyNetwork, meta[keyNetwork], &f); err != nil {
		return nil, err
	}
	n := &Network{Inputs: f.Inputs, Outputs: f.Outputs}
	if text, ok := meta[keyNotes]; ok {
		if err := strictJSON(keyNotes, text, &n.Notes); err != nil {
			return nil, err
		}
	}
	for i, t := range f.Tensors {
		nt, err := t.tensor()
		if err != nil {
			return nil, fmt.Errorf("%w: tensor %d, %q: %w", ErrFormat, i, t.Name, err)
		}
		n.Tensors = append(n.Tensors, nt)
	}
	for i, l := range f.Layers {
		nl, err := l.layer()
		if err != nil {
			return nil, fmt.Errorf("%w: layer %d, %q: %w", ErrFormat, i, l.Name, err)
		}
		n.Layers = append(n.Layers, nl)
	}
	return n, n.canonical(meta)
}

// canonical wants exactly the text that Write writes. encoding/json alone lets
// repeated keys, null and keys in another case pass.
func (n *Network) canonical(meta map[string]string) error {
	again, err := n.metadata()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	for _, key := range []string{keyNetwork, keyNotes} {
		if a, b := again[key], meta[key]; a != b {
			i := 0
			for i < min(len(a), len(b)) && a[i] == b[i] {
				i++
			}
			return fmt.Errorf("%w: metadata %q is not spelt as Write spells it at byte %d (a key twice, null, other order or spaces)", ErrFormat, key, i)
		}
	}
	return nil
}

// strictJSON decodes exactly one value without unknown fields.
func strictJSON(key, text string, v any) error {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == io.EOF {
		err = errors.New("missing or empty")
	} else if err == nil && dec.InputOffset() != int64(len(text)) {
		err = fmt.Errorf("data after the value at byte %d", dec.InputOffset())
	}
	if err != nil {
		return fmt.Errorf("%w: metadata %q: %w", ErrFormat, key, err)
	}
	return nil
}

func (t tensorFile) tensor() (Tensor, error) {
	out := Tensor{Name: t.Name, Shape: t.Shape, Default: t.Default}
	if t.Const {
		out.Const = &Const{}
	}
	if t.Quant == nil {
		return out, nil
	}
	s := fakequant.Spec{Bits: t.Quant.Bits, Unsigned: t.Quant.Unsigned, Axis: t.Quant.Axis,
		BlockSize: t.Quant.BlockSize, NarrowRange: t.Quant.NarrowRange}
	var err error
	if s.Scheme, err = named(t.Quant.Scheme, fakequant.Symmetric, fakequant.Affine); err != nil {
		return out, fmt.Errorf("scheme: %w", err)
	}
	if s.Granularity, err = named(t.Quant.Granularity, fakequant.PerTensor, fakequant.PerChannel, fakequant.PerBlock); err != nil {
		return out, fmt.Errorf("granularity: %w", err)
	}
	out.Quant = &Quant{Spec: s}
	return out, s.Validate()
}

// named finds the value whose String is name.
func named[T fmt.Stringer](name string, values ...T) (T, error) {
	for _, v := range values {
		if v.String() == name {
			return v, nil
		}
	}
	return values[0], fmt.Errorf("%q, want one of %v", name, values)
}

func (l layerFile) layer() (Layer, error) {
	out := Layer{Name: l.Name, Inputs: l.Inputs, Output: l.Output}
	var err error
	if out.Op, err = parseOp(l.Kind, l.Op); err != nil || l.Act == nil {
		return out, err
	}
	act, err := parseOp(l.Act.Kind, l.Act.Op)
	if err != nil {
		return out, fmt.Errorf("activation: %w", err)
	}
	u, ok := act.(Unary)
	if !ok {
		return out, fmt.Errorf("activation: %q is not an elementwise function", l.Act.Kind)
	}
	out.Act = &u
	return out, nil
}

// load fills in the numbers: each entry must be there in its type and shape, and
// nothing else.
func (n *Network) load(f *safetensors.File) error {
	if err := n.checkNames(); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	list := n.entries()
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	if err := sameNames(list, f.Names()); err != nil {
		return err
	}
	sum := newChecksum(f.Metadata)
	for _, e := range list {
		data, err := n.read(f, e)
		if err != nil {
			return fmt.Errorf("%w: stored tensor %q: %w", ErrFormat, e.name, err)
		}
		sum.Write(data)
		n.set(e, data)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.Metadata[keyChecksum] {
		return fmt.Errorf("%w: checksum %q does not fit: the file was damaged or changed", ErrFormat, f.Metadata[keyChecksum])
	}
	return nil
}

func sameNames(list []entry, names []string) error {
	want := make(map[string]bool, len(list))
	for _, e := range list {
		want[e.name] = true
	}
	for _, name := range names {
		if !want[name] {
			return fmt.Errorf("%w: stored tensor %q belongs to no tensor of the network", ErrFormat, name)
		}
		delete(want, name)
	}
	for _, e := range list {
		if want[e.name] {
			return fmt.Errorf("%w: stored tensor %q is missing", ErrFormat, e.name)
		}
	}
	return nil
}

// read returns the bytes of an entry after checking type and shape.
func (n *Network) read(f *safetensors.File, e entry) ([]byte, error) {
	want, err := n.storedShape(e)
	if err != nil {
		return nil, err
	}
	dtype, shape, _, err := f.Info(e.name)
	if err != nil {
		return nil, err
	}
	if t := n.storedType(e); dtype != t || !slices.Equal(shape, want) {
		return nil, fmt.Errorf("%v of shape %v, want %v of shape %v", dtype, shape, t, want)
	}
	return f.Bytes(e.name)
}

// set stores an entry's data, which has the right length, in the network.
func (n *Network) set(e entry, data []byte) {
	t := &n.Tensors[e.tensor]
	switch e.part {
	case partValues:
		t.Const.Values = bytesFloat(data)
	case partCodes:
		t.Const.Codes = data
	case partScale:
		t.Quant.Params.Scale = bytesFloat(data)
	case partZero:
		z := make([]int32, len(data))
		for i, b := range data {
			z[i] = int32(b)
			if !t.Quant.Spec.Unsigned {
				z[i] = int32(int8(b))
			}
		}
		t.Quant.Params.ZeroPoint = z
	}
}

// bytesFloat reads little-endian float32, bit for bit.
func bytesFloat(b []byte) []float32 {
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}
