package fakequant

import (
	"fmt"
	"math"
)

// MaxElements bounds the size of a tensor, so that element counts and byte
// offsets never overflow and a mis-read shape is an error before anything is
// allocated. It is 2^40 on 64-bit machines.
const MaxElements = min(1<<40, math.MaxInt>>3)

// Layout is a Spec applied to a shape: which group of parameters each element
// belongs to. Elements are numbered row-major, groups row-major over
// [Layout.ParamShape].
type Layout struct {
	shape  []int
	outer  []int // sizes of the axes before the innermost grouped axis
	stride []int // group stride of each of them
	block  []int // block size of each of them
	dim    int   // size of the innermost grouped axis
	size   int   // its block size
	inner  int   // elements behind it
	groups int
	n      int
	params []int
}

// NumElements returns the product of the dimensions, or an error, wrapping
// ErrSpec, for a negative dimension or a product above MaxElements. The empty
// shape is a scalar with one element.
func NumElements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("%w: negative dimension in shape %v", ErrSpec, shape)
		}
		if d > 0 && n > MaxElements/d {
			return 0, fmt.Errorf("%w: shape %v has more than %d elements", ErrSpec, shape, MaxElements)
		}
		n *= d
	}
	return n, nil
}

// Layout applies the spec to a tensor shape. It fails, wrapping ErrSpec, when
// the spec is invalid, the axis does not exist, the tensor is empty, or the
// block size is larger than the axis.
func (s Spec) Layout(shape []int) (Layout, error) {
	if err := s.Validate(); err != nil {
		return Layout{}, err
	}
	n, err := NumElements(shape)
	if err != nil {
		return Layout{}, err
	}
	if n == 0 {
		return Layout{}, fmt.Errorf("%w: tensor of shape %v is empty", ErrSpec, shape)
	}
	l := Layout{shape: append([]int(nil), shape...), n: n, params: make([]int, len(shape))}
	for i := range l.params {
		l.params[i] = 1
	}
	if s.Granularity == PerTensor {
		l.groups, l.dim, l.size, l.inner = 1, 1, 1, n
		return l, nil
	}
	axis := s.Axis
	if axis < 0 {
		axis += len(shape)
	}
	if axis < 0 || axis >= len(shape) {
		return Layout{}, fmt.Errorf("%w: axis %d out of range for shape %v", ErrSpec, s.Axis, shape)
	}
	blocks := make([]int, len(shape)) // 0: the axis shares
	blocks[axis] = 1
	if s.Granularity == PerBlock {
		if s.BlockSize > shape[axis] {
			return Layout{}, fmt.Errorf("%w: block size %d is larger than axis %d of shape %v: use at most %d",
				ErrSpec, s.BlockSize, s.Axis, shape, shape[axis])
		}
		blocks[axis] = s.BlockSize
		switch {
		case axis > 0:
			blocks[0] = 1
		case len(shape) > 1:
			blocks[1] = 1
		}
	}
	l.place(shape, blocks)
	return l, nil
}

// place fills the loop description: the innermost grouped axis and those before it.
func (l *Layout) place(shape, blocks []int) {
	last := 0
	for i, b := range blocks {
		if b > 0 {
			l.params[i] = (shape[i] + b - 1) / b
			last = i
		}
	}
	l.groups = 1
	strides := make([]int, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = l.groups
		l.groups *= l.params[i]
	}
	l.dim, l.size, l.inner = shape[last], blocks[last], 1
	for _, d := range shape[last+1:] {
		l.inner *= d
	}
	for i := 0; i < last; i++ {
		b, st := blocks[i], strides[i]
		if b == 0 {
			b, st = 1, 0
		}
		l.outer = append(l.outer, shape[i])
		l.stride = append(l.stride, st)
		l.block = append(l.block, b)
	}
}

// Len returns the number of elements.
func (l Layout) Len() int { return l.n }

// Groups returns the number of (scale, zero point) pairs.
func (l Layout) Groups() int { return l.groups }

// Shape returns the tensor's shape. The caller must not change it.
func (l Layout) Shape() []int { return l.shape }

// ParamShape returns the shape of the scales with the rank of the tensor: 1 on
// axes that share, the number of blocks or channels elsewhere (Core ML Tools'
// and ONNX's full-rank form). The caller must not change it.
func (l Layout) ParamShape() []int { return l.params }

// Runs calls fn for consecutive stretches [lo, hi) that together cover all
// elements in order. Element i of a stretch belongs to group
// group + (i-lo)*step, where step is 0 or 1.
func (l Layout) Runs(fn func(lo, hi, group, step int)) {
	if l.n == 0 { // the zero Layout
		return
	}
	if l.columns() {
		for row := range l.rows() {
			fn(row*l.dim, (row+1)*l.dim, l.rowGroup(row), 1)
		}
		return
	}
	for u := range l.units() {
		lo, hi, group := l.unit(u)
		fn(lo, hi, group, 0)
	}
}

// columns says that neighbouring elements belong to neighbouring groups.
func (l *Layout) columns() bool { return l.inner == 1 && l.size == 1 && l.dim > 1 }

// bands says that l is a matrix whose columns have parameters of their own, in bands of
// height rows: one band per channel, several per block.
func (l *Layout) bands() (height int, ok bool) {
	if len(l.outer) != 1 || !l.columns() {
		return 0, false
	}
	if l.stride[0] == 0 {
		return l.outer[0], true
	}
	return l.block[0], true
}

// rows is the number of stretches along the innermost grouped axis.
func (l *Layout) rows() int { return l.n / (l.dim * l.inner) }

// rowGroup is the group of the first element of a row.
func (l *Layout) rowGroup(row int) int {
	group := 0
	for i := len(l.outer) - 1; i >= 0; i-- {
		group += row % l.outer[i] / l.block[i] * l.stride[i]
		row /= l.outer[i]
	}
	return group
}

// units is the number of stretches of one group each, and unit returns one of them.
func (l *Layout) units() int { return l.rows() * l.blocks() }

func (l *Layout) blocks() int { return (l.dim + l.size - 1) / l.size }

// unitOf is the unit that element i belongs to.
func (l *Layout) unitOf(i int) int {
	row := l.dim * l.inner
	return i/row*l.blocks() + i%row/(l.size*l.inner)
}

func (l *Layout) unit(u int) (lo, hi, group int) {
	blocks := l.blocks()
	row, b := u/blocks, u%blocks
	at := row * l.dim * l.inner
	return at + b*l.size*l.inner, at + min((b+1)*l.size, l.dim)*l.inner, l.rowGroup(row) + b
}

// unitGrain is the number of elements that are worth a goroutine.
const unitGrain = 16 << 10
