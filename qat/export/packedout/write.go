package packedout

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat/frozen"
)

// model is a network laid out for the file.
type model struct {
	linears []*linear
	tensors []safetensors.Tensor
	meta    map[string]string
	report  Report
	floats  []string // modules whose weights are float32 without being a fault
}

// Write writes the network's constants as one safetensors file, model.safetensors.
// Equal networks give equal bytes. It fails before anything is written: for a network
// that is not valid, and, wrapping ErrUnsupported and naming tensors with reasons, where
// something does not fit, or nothing does. Notes of the network become metadata, beside
// "format": "pt", which readers want. The network is only read.
func Write(w io.Writer, n *frozen.Network, opt Options) (Report, error) {
	m, err := layOut(n, opt)
	if err != nil {
		return m.report, fmt.Errorf("packedout: %w", err)
	}
	if err := safetensors.Write(w, m.tensors, m.meta); err != nil {
		return m.report, fmt.Errorf("packedout: %w", err)
	}
	return m.report, nil
}

// layOut decides what becomes of each constant. The model is never nil.
func layOut(n *frozen.Network, opt Options) (*model, error) {
	m := &model{meta: map[string]string{}}
	if err := n.Validate(); err != nil {
		return m, err
	}
	taken := m.addLinears(n)
	switch {
	case len(m.linears) == 0 && len(m.report.Dense) == 0:
		return m, fmt.Errorf("%w: the network has no quantized weights", ErrUnsupported)
	case len(m.linears) == 0:
		return m, fmt.Errorf("%w: nothing can be packed: %s", ErrUnsupported, m.report.reasons())
	case len(m.report.Dense) > 0 && !opt.Dense:
		return m, fmt.Errorf("%w: %s (Options.Dense writes them as float)", ErrUnsupported, m.report.reasons())
	}
	if err := m.addRest(n, taken); err != nil {
		return m, err
	}
	maps.Copy(m.meta, n.Notes)
	m.meta["format"] = "pt"
	return m, m.checkNames()
}

// addLinears finds the layers that fit and the reasons of the others. It returns the
// constants that are in the file then.
func (m *model) addLinears(n *frozen.Network) map[int]bool {
	readers := map[int]int{}
	for i := range n.Layers {
		for _, t := range n.Layers[i].Inputs {
			readers[t]++
		}
	}
	taken, seen := map[int]bool{}, map[int]bool{}
	for i := range n.Layers {
		l := &n.Layers[i]
		for place, t := range l.Inputs {
			x := &n.Tensors[t]
			if x.Const == nil || x.Quant == nil || seen[t] {
				continue
			}
			if isTable(l) && place == 0 {
				continue // written as it is looked up, in float32
			}
			seen[t] = true
			lin, err := linearOf(n, l)
			switch {
			case err == nil && !oneModule(n, l, t):
				err = fmt.Errorf("%d layers read it, not all as the same linear layer: a module has one weight and one bias", readers[t])
			case err == nil && place != 1:
				err = fmt.Errorf("it is operand %d of its layer, which is not the weights", place)
			}
			if err != nil {
				m.report.Dense = append(m.report.Dense, Dense{Tensor: x.Name, Module: moduleOf(x.Name, l.Name), Why: err.Error()})
				continue
			}
			m.add(lin)
			taken[t] = !slices.ContainsFunc(n.Layers, func(u frozen.Layer) bool { return isTable(&u) && u.Inputs[0] == t })
			if lin.bias != nil && (readers[l.Inputs[2]] == readers[t] || lin.bias.Name == lin.module+".bias") {
				taken[l.Inputs[2]] = true
			}
		}
	}
	for i := range n.Layers {
		if name := floatModule(n, &n.Layers[i]); name != "" {
			m.floats = append(m.floats, name)
		}
	}
	for _, t := range n.Tensors {
		if t.Const == nil && t.Quant != nil {
			m.report.Activations++
		}
	}
	return taken
}

// floatModule names the module of a layer whose weights or table are in the file as float32
// because the network has them so, or because tables are; "" for others.
func floatModule(n *frozen.Network, l *frozen.Layer) string {
	place := 1
	switch l.Op.(type) {
	case frozen.MatMul, frozen.Conv, frozen.ConvTranspose:
	case frozen.Gather:
		place = 0
	default:
		return ""
	}
	if x := &n.Tensors[l.Inputs[place]]; x.Const != nil && (x.Quant == nil || isTable(l)) {
		return moduleOf(x.Name, l.Name)
	}
	return ""
}

// isTable reports whether a layer looks up rows: its first operand is a table.
func isTable(l *frozen.Layer) bool {
	_, ok := l.Op.(frozen.Gather)
	return ok
}

// oneModule reports whether all layers that read weight t are the linear layer l again:
// the same product with the same bias.
func oneModule(n *frozen.Network, l *frozen.Layer, t int) bool {
	for i := range n.Layers {
		u := &n.Layers[i]
		if slices.Contains(u.Inputs, t) && !isTable(u) && (u.Op != l.Op || !slices.Equal(u.Inputs[1:], l.Inputs[1:])) {
			return false
		}
	}
	return true
}

// add puts a layer's tensors into the file.
func (m *model) add(r *linear) {
	m.linears = append(m.linears, r)
	p := Packed{Layer: r.layer, Module: r.module, Bits: r.bits, Symmetric: r.symmetric()}
	if r.groups() > 1 {
		p.Group = r.group
	}
	for _, t := range r.tensors() {
		m.tensors = append(m.tensors, t)
		if t.DType != safetensors.I64 {
			p.Bytes += len(t.Data)
		}
	}
	if r.bias != nil {
		m.tensors = append(m.tensors, safetensors.FromFloat32s(r.module+".bias", []int{r.out}, r.bias.Const.Values))
	}
	m.report.Packed = append(m.report.Packed, p)
}

// addRest puts all other constants into the file, as float32.
func (m *model) addRest(n *frozen.Network, taken map[int]bool) error {
	for i := range n.Tensors {
		t := &n.Tensors[i]
		if t.Const == nil || taken[i] {
			continue
		}
		values, err := t.Values()
		if err != nil {
			return err
		}
		m.tensors = append(m.tensors, safetensors.FromFloat32s(t.Name, t.Shape, values))
	}
	return nil
}

// checkNames refuses two tensors of one name before anything is written.
func (m *model) checkNames() error {
	names := make([]string, len(m.tensors))
	for i, t := range m.tensors {
		names[i] = t.Name
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return fmt.Errorf("%w: two tensors would have the name %q in the file: rename a layer", ErrUnsupported, names[i])
		}
	}
	return nil
}
