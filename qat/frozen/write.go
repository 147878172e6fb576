package frozen

// This file says how a network becomes a file.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"sort"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/safetensors"
)

// The metadata of a file; the package comment describes them.
const (
	formatName    = "goqat"
	formatVersion = "1"

	keyFormat   = "format"
	keyVersion  = "version"
	keyNetwork  = "network"
	keyNotes    = "notes"
	keyChecksum = "sha256"
)

// Write writes the network as a safetensors file, in the form that the package
// comment describes. Equal networks give equal bytes. It fails when the network is
// not valid, before anything is written, or when w does.
func (n *Network) Write(w io.Writer) error {
	if err := n.Validate(); err != nil {
		return err
	}
	stored, err := n.stored()
	if err != nil {
		return err
	}
	meta, err := n.metadata()
	if err != nil {
		return err
	}
	sum := newChecksum(meta)
	for _, t := range stored {
		sum.Write(t.Data)
	}
	meta[keyChecksum] = hex.EncodeToString(sum.Sum(nil))
	if err := safetensors.Write(w, stored, meta); err != nil {
		return fmt.Errorf("frozen network: %w", err)
	}
	return nil
}

// WriteFile writes the network to a file, which appears whole or not at all: a file
// that was there before stays until the new one is complete.
func (n *Network) WriteFile(path string) error {
	return atomicfile.WriteFile(path, n.Write)
}

// newChecksum starts the checksum with the texts that it covers.
func newChecksum(meta map[string]string) hash.Hash {
	h := sha256.New()
	for _, key := range []string{keyNetwork, keyNotes} {
		io.WriteString(h, meta[key]) // a hash never fails
		h.Write([]byte{0})
	}
	return h
}

// stored returns the entries with their data, in the order of their names.
func (n *Network) stored() ([]safetensors.Tensor, error) {
	var list []safetensors.Tensor
	for _, e := range n.entries() {
		shape, err := n.storedShape(e)
		if err != nil {
			return nil, n.Tensors[e.tensor].wrap(err)
		}
		list = append(list, n.storedTensor(e, shape))
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

func (n *Network) storedTensor(e entry, shape []int) safetensors.Tensor {
	t := &n.Tensors[e.tensor]
	switch e.part {
	case partValues:
		return safetensors.FromFloat32s(e.name, shape, t.Const.Values)
	case partScale:
		return safetensors.FromFloat32s(e.name, shape, t.Quant.Params.Scale)
	}
	out := safetensors.Tensor{Name: e.name, DType: n.storedType(e), Shape: shape}
	if e.part == partCodes {
		out.Data = t.Const.Codes
		return out
	}
	for _, z := range t.Quant.Params.ZeroPoint {
		out.Data = append(out.Data, byte(z))
	}
	return out
}

// storedType is the file's element type of an entry.
func (n *Network) storedType(e entry) safetensors.DType {
	q := n.Tensors[e.tensor].Quant
	switch {
	case e.part == partValues || e.part == partScale:
		return safetensors.F32
	case q.Spec.Unsigned || e.part == partCodes && q.Spec.Packed():
		return safetensors.U8
	}
	return safetensors.I8
}

// metadata is everything but the checksum.
func (n *Network) metadata() (map[string]string, error) {
	network, err := n.networkJSON()
	if err != nil {
		return nil, err
	}
	meta := map[string]string{keyFormat: formatName, keyVersion: formatVersion, keyNetwork: string(network)}
	if len(n.Notes) > 0 {
		notes, err := plainJSON(n.Notes)
		if err != nil {
			return nil, err
		}
		meta[keyNotes] = string(notes)
	}
	return meta, nil
}

// The JSON of a network. Field order is part of the format.
type (
	networkFile struct {
		Tensors []tensorFile `json:"tensors"`
		Layers  []layerFile  `json:"layers"`
		Inputs  []int        `json:"inputs"`
		Outputs []int        `json:"outputs"`
	}
	tensorFile struct {
		Name  string     `json:"name"`
		Shape []int      `json:"shape"`
		Quant *quantFile `json:"quant,omitempty"`
		Const bool       `json:"const,omitempty"`
		// Default was added later; without one the text is what it was.
		Default *float32 `json:"default,omitempty"`
	}
	quantFile struct {
		Bits        int    `json:"bits"`
		Unsigned    bool   `json:"unsigned,omitempty"`
		Scheme      string `json:"scheme"`
		Granularity string `json:"granularity"`
		Axis        int    `json:"axis,omitempty"`
		BlockSize   int    `json:"block_size,omitempty"`
		NarrowRange bool   `json:"narrow_range,omitempty"`
	}
	layerFile struct {
		Name   string          `json:"name"`
		Kind   string          `json:"kind"`
		Op     json.RawMessage `json:"op"`
		Act    *actFile        `json:"act,omitempty"`
		Inputs []int           `json:"inputs"`
		Output int             `json:"output"`
	}
	actFile struct {
		Kind string          `json:"kind"`
		Op   json.RawMessage `json:"op"`
	}
)

// networkJSON describes the tensors and layers.
func (n *Network) networkJSON() ([]byte, error) {
	f := networkFile{Inputs: n.Inputs, Outputs: n.Outputs}
	for _, t := range n.Tensors {
		tf := tensorFile{Name: t.Name, Shape: t.Shape, Const: t.Const != nil, Default: t.Default}
		if tf.Shape == nil {
			tf.Shape = []int{} // a scalar is [] however it was spelt
		}
		if t.Quant != nil {
			s := t.Quant.Spec
			tf.Quant = &quantFile{s.Bits, s.Unsigned, s.Scheme.String(), s.Granularity.String(), s.Axis, s.BlockSize, s.NarrowRange}
		}
		f.Tensors = append(f.Tensors, tf)
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		op, err := nn.MarshalOp(l.Op.op())
		if err != nil {
			return nil, l.wrap(err)
		}
		lf := layerFile{Name: l.Name, Kind: l.Op.Kind(), Op: op, Inputs: l.Inputs, Output: l.Output}
		if l.Act != nil {
			act, err := nn.MarshalOp(nn.Unary(*l.Act))
			if err != nil {
				return nil, l.wrap(err)
			}
			lf.Act = &actFile{l.Act.Kind(), act}
		}
		f.Layers = append(f.Layers, lf)
	}
	return plainJSON(f)
}

// plainJSON is compact JSON that leaves <, > and & as they are.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
