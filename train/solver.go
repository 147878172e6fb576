package train

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/goqat/goqat/internal/kern"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Optimizer is a [gorgonia.Solver] with a learning rate that can be scheduled and a
// state that can be saved. [SGD] and [Adam] are the ones here.
//
// Step takes float32 tensors (*tensor.Dense) and float32 scalars (*gorgonia.F32).
// Parameters are known by their names (a method Name() string, which Gorgonia's
// nodes have), else by their position, so the state survives a rebuilt graph.
// Every gradient is checked before any parameter changes: after an error nothing
// has moved.
type Optimizer interface {
	gorgonia.Solver
	// LearnRate returns the current learning rate.
	LearnRate() float64
	// SetLearnRate changes it from the next step on.
	SetLearnRate(lr float64)
	// State returns a copy of the moments and step counts.
	State() State
	// Restore replaces the state by a copy of s.
	Restore(s State) error
}

// Errors that callers may want to tell apart with errors.Is.
var (
	// ErrNotFinite: a gradient or the loss is NaN or infinite.
	ErrNotFinite = errors.New("not finite")
	// ErrConfig: a setting is out of its range.
	ErrConfig = errors.New("bad setting")
	// ErrData: the data cannot be used.
	ErrData = errors.New("bad data")
	// ErrState: a saved state does not fit.
	ErrState = errors.New("state does not fit")
)

// slot is what an optimizer keeps of one parameter.
type slot struct {
	step    int // updates made
	round   int // the Step call that last used it; finds duplicates
	moments [][]float32
}

// item is one parameter during a step.
type item struct {
	name   string
	w, g   []float32
	s      *slot
	scalar *gorgonia.F32  // w is a copy of it, to be written back
	zero   gorgonia.Value // an accumulating gradient, to be zeroed at the end
	wb, gb [1]float32
}

// slots holds the state of all parameters and the work list of the current step.
type slots struct {
	kind    string
	rate    *float64 // the learning rate, in the optimizer's settings
	moments int      // slices per parameter
	squares int      // which of them is a mean of squares; -1: none
	byName  map[string]*slot
	items   []item
	round   int
}

// gather checks all parameters and gradients and lists them in s.items. Nothing
// is changed but the (zero) state of parameters seen for the first time.
func (s *slots) gather(params []gorgonia.ValueGrad) error {
	if s.byName == nil {
		s.byName = make(map[string]*slot, len(params))
	}
	if cap(s.items) < len(params) {
		s.items = make([]item, len(params))
	}
	s.items = s.items[:len(params)]
	s.round++
	for i, p := range params {
		it := &s.items[i]
		*it = item{name: nameOf(p, i)}
		if err := it.load(p); err != nil {
			return fmt.Errorf("train: %s: parameter %q: %w", s.kind, it.name, err)
		}
		if err := s.bind(it); err != nil {
			return fmt.Errorf("train: %s: parameter %q: %w", s.kind, it.name, err)
		}
	}
	return nil
}

// bind finds or makes the state of a parameter.
func (s *slots) bind(it *item) error {
	sl := s.byName[it.name]
	if sl == nil {
		sl = &slot{moments: make([][]float32, s.moments)}
		for k := range sl.moments {
			sl.moments[k] = make([]float32, len(it.w))
		}
		s.byName[it.name] = sl
	}
	if sl.round == s.round {
		return fmt.Errorf("%w: two parameters have this name: name each one differently", ErrConfig)
	}
	for _, m := range sl.moments {
		if len(m) != len(it.w) {
			return fmt.Errorf("%w: it has %d elements, its saved moments have %d", ErrState, len(it.w), len(m))
		}
	}
	sl.round, it.s = s.round, sl
	return nil
}

// finish writes scalars back and zeroes gradients that a machine adds to.
func (s *slots) finish() {
	for i := range s.items {
		it := &s.items[i]
		it.s.step++
		if it.scalar != nil {
			*it.scalar = gorgonia.F32(it.w[0])
		}
		switch z := it.zero.(type) {
		case *gorgonia.F32:
			*z = 0
		case *tensor.Dense:
			clear(z.Float32s())
		}
	}
}

// nameOf returns the parameter's name, or its position as "#3".
func nameOf(p gorgonia.ValueGrad, i int) string {
	if n, ok := p.(gorgonia.Namer); ok {
		if name := n.Name(); name != "" {
			return name
		}
	}
	return "#" + strconv.Itoa(i)
}

// load reads the value and the gradient of p.
func (it *item) load(p gorgonia.ValueGrad) (err error) {
	switch v := p.Value().(type) {
	case *gorgonia.F32:
		it.scalar, it.wb[0] = v, float32(*v)
		it.w = it.wb[:]
	case *tensor.Dense:
		if it.w, err = plain(v, false); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: value is %T, want a float32 tensor or *gorgonia.F32", ErrConfig, v)
	}
	grad, err := p.Grad()
	if err != nil {
		return fmt.Errorf("no gradient (was gorgonia.Grad called with it?): %w", err)
	}
	switch g := grad.(type) {
	case *gorgonia.F32:
		it.gb[0] = float32(*g)
		it.g = it.gb[:]
	case *tensor.Dense:
		if it.g, err = plain(g, true); err != nil {
			return fmt.Errorf("gradient: %w", err)
		}
	case nil:
		return errors.New("no gradient value: run the machine before Step")
	default:
		return fmt.Errorf("%w: gradient is %T, want a float32 tensor or *gorgonia.F32", ErrConfig, g)
	}
	if len(it.g) != len(it.w) {
		return fmt.Errorf("gradient has %d elements, the parameter %d", len(it.g), len(it.w))
	}
	if i := kern.NotFinite(it.g); i >= 0 {
		return fmt.Errorf("%w: gradient element %d is %v: lower the learning rate or look at the inputs", ErrNotFinite, i, it.g[i])
	}
	it.zero = accumulating(p, grad)
	return nil
}

// accumulating returns grad if a machine adds to it run after run (a dual value),
// which then must be zeroed after use as Gorgonia's own solvers do, else nil. A
// gradient that is just the value of the derivative's node must stay untouched:
// other nodes may share its memory.
func accumulating(p gorgonia.ValueGrad, grad gorgonia.Value) gorgonia.Value {
	n, ok := p.(*gorgonia.Node)
	if !ok || (n.Deriv() != nil && n.Deriv().Value() == grad) {
		return nil
	}
	return grad
}

// plain returns the row-major elements of d. A view is copied if that is allowed.
func plain(d *tensor.Dense, mayCopy bool) ([]float32, error) {
	if d.Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("%w: element type %v, want float32", ErrConfig, d.Dtype())
	}
	if d.RequiresIterator() || d.DataOrder().IsColMajor() {
		if !mayCopy {
			return nil, fmt.Errorf("%w: tensor of shape %v is a view: use a contiguous row-major one", ErrConfig, d.Shape())
		}
		m, ok := d.Materialize().(*tensor.Dense)
		if !ok {
			return nil, fmt.Errorf("%w: tensor of shape %v cannot be made contiguous", ErrConfig, d.Shape())
		}
		d = m
	}
	if d.Shape().Dims() == 0 {
		if v, ok := d.Data().(float32); ok {
			if !mayCopy {
				return nil, fmt.Errorf("%w: rank-0 tensor: use *gorgonia.F32 or shape (1)", ErrConfig)
			}
			return []float32{v}, nil
		}
	}
	return d.Float32s(), nil
}

// State is what an [Optimizer] remembers between steps, ready to be saved (it
// encodes as JSON). The caller owns it.
type State struct {
	Kind      string       `json:"kind"`                 // sgd or adam
	LearnRate float64      `json:"learn_rate,omitempty"` // of the next step; 0: Restore leaves the optimizer's
	Params    []ParamState `json:"params"`               // sorted by name
}

// ParamState is the part of [State] that belongs to one parameter.
type ParamState struct {
	Name    string      `json:"name"`
	Step    int         `json:"step"`    // updates made
	Moments [][]float32 `json:"moments"` // sgd: velocity; adam: first and second moment
}

// values returns the float32 elements that a node holds after a run.
func values(n *gorgonia.Node) ([]float32, error) {
	switch v := n.Value().(type) {
	case *gorgonia.F32:
		return []float32{float32(*v)}, nil
	case *tensor.Dense:
		return plain(v, true)
	case nil:
		return nil, fmt.Errorf("node %q has no value: name it as an output of the machine", n.Name())
	default:
		return nil, fmt.Errorf("%w: node %q holds %T, want float32", ErrConfig, n.Name(), v)
	}
}
