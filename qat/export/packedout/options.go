package packedout

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnsupported is wrapped by errors about networks that the layout cannot hold.
var ErrUnsupported = errors.New("no pack-quantized form")

// Options are the settings of an export. The zero value is the default.
type Options struct {
	// Dense writes quantized tensors that do not fit as float32, as their codes stand for,
	// instead of refusing the network.
	Dense bool
}

// Report says what became of the quantized constants, in the order of the network's
// layers.
type Report struct {
	Packed []Packed
	// Dense are the tensors that do not fit.
	Dense []Dense
	// Activations is how many inputs and results are quantized in the network and will
	// not be where the file is read.
	Activations int
}

// Packed is a layer whose weights are packed.
type Packed struct {
	Layer  string // in the network
	Module string // in the file
	// Bits is 4 or 8.
	Bits int
	// Group is how many inputs share a scale; 0 for one scale per output channel.
	Group int
	// Symmetric tells that there are no zero points.
	Symmetric bool
	// Bytes is the size of codes, scales and zero points in the file.
	Bytes int
}

// Dense is a quantized tensor that does not fit.
type Dense struct {
	Tensor string
	// Module is the tensor's name without ".weight".
	Module string
	// Why is the reason.
	Why string
}

// String is the report in a few lines.
func (r Report) String() string {
	var b strings.Builder
	for _, p := range r.Packed {
		groups := "per channel"
		if p.Group > 0 {
			groups = fmt.Sprintf("groups of %d", p.Group)
		}
		sym := "symmetric"
		if !p.Symmetric {
			sym = "asymmetric"
		}
		fmt.Fprintf(&b, "%s: %d bits, %s, %s, %d bytes\n", p.Module, p.Bits, groups, sym, p.Bytes)
	}
	for _, d := range r.Dense {
		fmt.Fprintf(&b, "%s: float32: %s\n", d.Tensor, d.Why)
	}
	if r.Activations > 0 {
		fmt.Fprintf(&b, "%d activations are not quantized in this layout\n", r.Activations)
	}
	return b.String()
}

// reasons lists why tensors do not fit, a few of them.
func (r Report) reasons() string {
	const most = 8
	var parts []string
	for i, d := range r.Dense {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(r.Dense)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%q: %s", d.Tensor, d.Why))
	}
	return strings.Join(parts, "; ")
}
