package onnxout

// This file says how a model becomes files.

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
	"google.golang.org/protobuf/proto"
)

// Write writes the network as one ONNX file. It fails, before anything is written,
// when the network or the options are not valid, when a layer has no ONNX form
// (wrapping ErrUnsupported; the error names the layer), and when the tensors are
// larger than ExternalAbove (wrapping ErrTooLarge: use WriteFile). The network is
// only read.
func Write(w io.Writer, n *frozen.Network, opt Options) error {
	b, err := newModel(n, opt)
	if err != nil {
		return fmt.Errorf("onnxout: %w", err)
	}
	if size := b.dataSize(); size > b.opt.ExternalAbove {
		return fmt.Errorf("onnxout: %w: %d bytes of tensor data, at most %d go into one file: use WriteFile, which makes a second one", ErrTooLarge, size, b.opt.ExternalAbove)
	}
	if err := b.writeOne(w); err != nil {
		return fmt.Errorf("onnxout: %w", err)
	}
	return nil
}

// writeOne writes a model with all its tensors inside.
func (b *builder) writeOne(w io.Writer) error {
	for i := range b.consts {
		b.model.Graph.Initializer = append(b.model.Graph.Initializer, b.consts[i].inline())
	}
	return marshal(w, b.model)
}

// WriteFile writes the network to the file at path, which appears whole or not at
// all. Above ExternalAbove, large tensors go to a second file, path + ".data", which
// the model names and which must stay beside it; it is replaced just before the
// first. A second file that is not needed any more is left alone. Errors as in Write.
func WriteFile(path string, n *frozen.Network, opt Options) error {
	b, err := newModel(n, opt)
	if err != nil {
		return fmt.Errorf("onnxout: %w", err)
	}
	if b.dataSize() <= b.opt.ExternalAbove {
		return atomicfile.WriteFile(path, b.writeOne)
	}
	data := path + ".data"
	if !utf8.ValidString(data) {
		return fmt.Errorf("onnxout: file name %q is not UTF-8, so the model cannot name its data file", data)
	}
	external := b.place(filepath.Base(data))
	// The model is complete in its temporary file before the data file is replaced.
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		if err := marshal(w, b.model); err != nil {
			return err
		}
		return atomicfile.WriteFile(data, func(w io.Writer) error { return writeData(w, external) })
	})
}

func marshal(w io.Writer, m *onnxpb.ModelProto) error {
	if size := int64(proto.Size(m)); size > math.MaxInt32 {
		return fmt.Errorf("%w: %d bytes, protobuf ends at %d: lower ExternalAbove", ErrTooLarge, size, math.MaxInt32)
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

const (
	// externalMin is the size from which a tensor leaves the model: shape inference
	// wants the small ones inside.
	externalMin = 1 << 10
	// pageSize is the alignment that the ONNX specification asks of external tensors
	// (docs/ExternalData.md), for memory mapping.
	pageSize = 4096
)

// stored is a tensor in the data file.
type stored struct {
	*constant
	offset int64
}

// place puts the initializers into the model: small ones whole, the others as
// references into the file called location. It returns those, in their order.
func (b *builder) place(location string) []stored {
	var list []stored
	var end int64
	for i := range b.consts {
		c := &b.consts[i]
		if c.size() < externalMin {
			b.model.Graph.Initializer = append(b.model.Graph.Initializer, c.inline())
			continue
		}
		end = (end + pageSize - 1) / pageSize * pageSize
		list = append(list, stored{c, end})
		t := c.header()
		t.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
		t.ExternalData = []*onnxpb.StringStringEntryProto{
			entry("location", location),
			entry("offset", strconv.FormatInt(end, 10)),
			entry("length", strconv.FormatInt(c.size(), 10)),
		}
		b.model.Graph.Initializer = append(b.model.Graph.Initializer, t)
		end += c.size()
	}
	return list
}

func writeData(w io.Writer, list []stored) error {
	var at int64
	for _, c := range list {
		if _, err := w.Write(make([]byte, c.offset-at)); err != nil {
			return err
		}
		if _, err := w.Write(c.bytes()); err != nil {
			return err
		}
		at = c.offset + c.size()
	}
	return nil
}
