package onnxin

import (
	"fmt"
	"io"
	"math"

	"github.com/goqat/goqat/internal/onnxpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// minOpset is the first operator set with today's broadcasting, maxOpset the newest
	// that was compared with what is implemented here.
	minOpset, maxOpset = 7, 26
	// messageCost is about the memory of one decoded message in bytes, and messageFree
	// what a file of any size may spend on messages.
	messageCost, messageFree = 400, 64 << 20
)

// readAll reads and decodes a model and checks what concerns the file as a whole.
func readAll(r io.Reader) (*parsed, error) {
	data, err := io.ReadAll(io.LimitReader(r, math.MaxInt32+1))
	if err != nil {
		return nil, err
	}
	if len(data) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: larger than 2 GiB, the end of protobuf: store the tensors as external data", ErrFormat)
	}
	messages, err := countMessages(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if messages*messageCost > 16*len(data)+messageFree {
		return nil, fmt.Errorf("%w: %d messages in %d bytes: the file is made of empty parts", ErrFormat, messages, len(data))
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: not a protobuf message of an ONNX model: %w", ErrFormat, err)
	}
	p := &parsed{ModelProto: m, size: len(data), decoded: map[*onnxpb.TensorProto]*constant{}}
	return p, p.check()
}

func (p *parsed) check() error {
	if p.Graph == nil {
		return fmt.Errorf("%w: the model has no graph: is the file complete?", ErrFormat)
	}
	for _, o := range p.OpsetImport {
		if isStandard(o.GetDomain()) {
			if p.opset != 0 {
				return fmt.Errorf("%w: two versions of the standard operator set", ErrFormat)
			}
			if o.GetVersion() < minOpset || o.GetVersion() > maxOpset {
				return fmt.Errorf("%w: operator set %d, goqat reads %d to %d: convert the model with onnx.version_converter",
					ErrUnsupported, o.GetVersion(), minOpset, maxOpset)
			}
			p.opset = int(o.GetVersion())
		}
	}
	switch {
	case p.opset == 0:
		return fmt.Errorf("%w: no version of the standard operator set", ErrFormat)
	case len(p.Functions) > 0:
		return fmt.Errorf("%w: the model defines functions of its own (%q): inline them with onnx.inliner", ErrUnsupported, p.Functions[0].GetName())
	case len(p.Graph.SparseInitializer) > 0:
		return fmt.Errorf("%w: sparse initializers: store them as dense tensors", ErrUnsupported)
	case len(p.Graph.Output) == 0:
		return fmt.Errorf("%w: the graph has no outputs", ErrFormat)
	}
	return nil
}

func isStandard(domain string) bool { return domain == "" || domain == "ai.onnx" }

// kind is a message type as far as the count below looks into it: which fields hold
// messages.
type kind map[protowire.Number]kind

// model is the nesting of ModelProto.
var model = func() kind {
	pairs, dims := kind{}, kind{}
	tensor := kind{3: nil, 13: pairs, 16: pairs}
	info := kind{2: {1: {2: {1: dims}}}, 4: pairs}
	sparse := kind{1: tensor, 2: tensor}
	attribute, graph := kind{}, kind{}
	node := kind{5: attribute, 9: pairs}
	for n, k := range map[protowire.Number]kind{5: tensor, 6: graph, 22: sparse, 10: tensor, 11: graph} {
		attribute[n] = k
	}
	for n, k := range map[protowire.Number]kind{1: node, 5: tensor, 15: sparse, 11: info, 12: info, 13: info, 16: pairs} {
		graph[n] = k
	}
	function := kind{7: node, 9: pairs, 11: attribute}
	return kind{8: pairs, 7: graph, 14: pairs, 25: function}
}()

// countMessages counts the messages in the encoded model without decoding them. An
// empty message takes two bytes in a file and hundreds in memory.
func countMessages(data []byte) (int, error) {
	type part struct {
		data []byte
		kind kind
	}
	total, parts := 0, []part{{data, model}}
	for len(parts) > 0 {
		p := parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		for len(p.data) > 0 {
			num, typ, n := protowire.ConsumeTag(p.data)
			if n < 0 {
				return 0, fmt.Errorf("not a protobuf message, or cut off: %w", protowire.ParseError(n))
			}
			p.data = p.data[n:]
			size := protowire.ConsumeFieldValue(num, typ, p.data)
			if size < 0 {
				return 0, fmt.Errorf("not a protobuf message, or cut off: %w", protowire.ParseError(size))
			}
			inner, ok := p.kind[num]
			if ok && typ == protowire.BytesType {
				total++
				if body, n := protowire.ConsumeBytes(p.data); n >= 0 && len(body) > 0 && len(inner) > 0 {
					parts = append(parts, part{body, inner})
				}
			}
			p.data = p.data[size:]
		}
	}
	return total, nil
}

// parsed is a model with the number of bytes it was read from.
type parsed struct {
	*onnxpb.ModelProto
	size    int
	opset   int
	decoded map[*onnxpb.TensorProto]*constant
}

// decode reads an initializer, once.
func (p *parsed) decode(t *onnxpb.TensorProto, files fileSource) (*constant, error) {
	if c := p.decoded[t]; c != nil {
		return c, nil
	}
	c, err := decode(t, files)
	if err == nil {
		p.decoded[t] = c
	}
	return c, err
}
