package nn

import (
	"math"
	"sync"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// IntTensor is a tensor on an integer grid: a shape and either row-major biased
// codes q - Qmin, one byte each, or the real numbers (q - zero_point)·scale. Grid is
// that of the biased codes ([kern.Grid.Biased]): its Qmin is 0. As an operand, real
// numbers are rounded to the grid on the way.
type IntTensor struct {
	Shape  []int
	Codes  []uint8
	Values []float32
	Grid   kern.Grid
	Fn     *kern.Func // of a result with codes: applied to its numbers before they are rounded; nil for none
}

// Len is the number of elements that the tensor holds.
func (t IntTensor) Len() int { return max(len(t.Codes), len(t.Values)) }

func (t IntTensor) x() kern.IntX { return kern.IntX{Codes: t.Codes, Values: t.Values, Grid: t.Grid} }

// check compares the data with the shape.
func (t IntTensor) check(op Op, what string) error {
	if n := product(t.Shape); t.Len() != n || t.Codes != nil && t.Values != nil {
		return shapeErr(op, "%s has %d codes and %d values for shape %v", what, len(t.Codes), len(t.Values), t.Shape)
	}
	if t.Grid.Qmin != 0 || t.Grid.Qmax > math.MaxUint8 {
		return settingsErr(op, "%s: codes %d to %d are not biased bytes", what, t.Grid.Qmin, t.Grid.Qmax)
	}
	return nil
}

// Terms returns the number of products in one output element of a Conv, a MatMul or, at
// most, a ConvTranspose with the given input and weight shapes, and 0 for other layers. An
// integer sum is exact in 32 bits when Terms·max|x|·max|w| < 2^31.
func Terms(op Op, xShape, wShape []int) int {
	switch o := op.(type) {
	case Conv, ConvTranspose:
		if len(wShape) == 4 {
			return product(wShape[1:])
		}
	case MatMul:
		if len(wShape) >= 2 {
			if o.TransB {
				return wShape[len(wShape)-1]
			}
			return wShape[len(wShape)-2]
		}
	}
	return 0
}

// IntWeights is the second operand of a Conv, a ConvTranspose or a MatMul on codes: its centred
// codes q - zero_point.
type IntWeights struct {
	Shape []int
	// Fill writes the codes, row-major, at most 2^15 in magnitude. It is called when
	// a product is set up and may be called again until the product is no longer used.
	Fill func(dst []int16)
	// Bytes is nil, or the same codes in pieces where all are known to fit a byte; see
	// [kern.ByteWeights].
	Bytes *kern.ByteWeights
	// Scale has one element, for all, or channels·blocks, channel-major. A channel is
	// an output channel: K of a convolution, the columns of a MatMul's product.
	Scale []float32
	// Blocks cut the input channels of a group (convolutions) or the contracted axis (MatMul)
	// every BlockSize elements; the last may be shorter, and Blocks must be the
	// number that results. Blocks = 1 with BlockSize = 0 is one sum.
	Blocks, BlockSize int
	// Nibbles keeps codes of 4 bits two to a byte in memory; they are unpacked at
	// every use.
	Nibbles bool
}

// IntLayer computes a Conv, a ConvTranspose or a MatMul on codes:
//
//	y = Σ_b float32(float32(acc_b) · float32(xScale·wScale[c·blocks+b])) + bias[c]
//
// in float32 and in the order of b, where acc_b is the exact integer sum over
// block b of centred codes and c is the output channel. Set it up, then use it from
// any number of goroutines; an IntLayer that is set up again uses its memory again.
type IntLayer struct {
	op     Op
	in     kern.Grid
	wShape []int
	parts  []*kern.IntProduct // one per matrix of a batched MatMul, else one
	codes  []int16            // of a batched MatMul
	own    []float32          // scales of the weights
	scale  []float32          // and of the sums
	max    int                // largest magnitude of a weight
}

// Set prepares the product with w for inputs on the grid x, whose Qmin is 0. Errors
// wrap ErrShape or ErrSettings.
func (p *IntLayer) Set(op Op, x kern.Grid, w IntWeights) error {
	switch op.(type) {
	case Conv, MatMul, ConvTranspose:
	default:
		return settingsErr(orNone(op), "no integer form: only conv, conv_transpose and matmul have one")
	}
	if err := checkWeights(op, w); err != nil {
		return err
	}
	p.op, p.in, p.wShape = op, x, w.Shape
	p.own = append(p.own[:0], w.Scale...)
	p.scales()
	d := kern.Dequant{Scale: p.scale, Blocks: w.Blocks, Block: w.BlockSize}
	switch o := op.(type) {
	case Conv:
		p.setConv(o, w, d, w.Fill)
	case ConvTranspose:
		p.setConv(o.conv(), w, d, func(dst []int16) {
			w.Fill(dst)
			turnTaps(dst, w.Shape[2]*w.Shape[3])
		})
	case MatMul:
		p.setMatMul(o, w, d)
	}
	return nil
}

func (p *IntLayer) setConv(o Conv, w IntWeights, d kern.Dequant, fill func(dst []int16)) {
	s := w.Shape
	g := kern.Conv{C: s[1] * o.Groups, K: s[0], R: s[2], S: s[3], Groups: o.Groups, Stride: o.Stride, Dilation: o.Dilation}
	d.Block *= s[2] * s[3]
	part := p.part(1)[0]
	part.Nibbles, part.Bytes = w.Nibbles, nil
	part.SetConv(&g, p.in, d, fill)
	p.max = part.MaxAbs()
}

// scales are those of sums of products of codes.
func (p *IntLayer) scales() {
	p.scale = p.scale[:0]
	for _, s := range p.own {
		p.scale = append(p.scale, p.in.Scale*s)
	}
}

// Regrid makes p, which is set up, ready for inputs on another grid, with the same weights.
// It reports false where p has to be set up again.
func (p *IntLayer) Regrid(x kern.Grid) bool {
	if x == p.in {
		return true
	}
	if _, ok := p.op.(MatMul); !ok {
		return false
	}
	p.in = x
	p.scales()
	for _, part := range p.parts {
		part.Regrid(x, p.scale)
	}
	return true
}

// part returns n products, old ones where there are.
func (p *IntLayer) part(n int) []*kern.IntProduct {
	for len(p.parts) < n {
		p.parts = append(p.parts, &kern.IntProduct{})
	}
	p.parts = p.parts[:n]
	return p.parts
}

func (p *IntLayer) setMatMul(o MatMul, w IntWeights, d kern.Dequant) {
	rank := len(w.Shape)
	k, n := w.Shape[rank-2], w.Shape[rank-1]
	if o.TransB {
		k, n = n, k
	}
	batch := product(w.Shape[:rank-2])
	parts := p.part(batch)
	if batch == 1 {
		parts[0].Nibbles, parts[0].Bytes = w.Nibbles, nil
		if w.Bytes != nil && checkSum(o, k, math.MaxUint8, w.Bytes.MaxAbs) == nil { // the bound will do
			parts[0].Bytes = w.Bytes
		}
		parts[0].SetMatMul(n, k, o.TransB, p.in, d, w.Fill)
		p.max = parts[0].MaxAbs()
		return
	}
	codes := sync.OnceValue(func() []int16 {
		if cap(p.codes) < batch*n*k {
			p.codes = make([]int16, batch*n*k)
		}
		w.Fill(p.codes[:batch*n*k])
		return p.codes
	})
	bytes := w.Bytes
	if bytes != nil && checkSum(o, k, math.MaxUint8, bytes.MaxAbs) != nil { // look at the codes themselves
		bytes = nil
	}
	par.For(batch, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			parts[i].Nibbles, parts[i].Bytes = w.Nibbles, nil
			if bytes != nil {
				b := &kern.ByteWeights{MaxAbs: bytes.MaxAbs, Fill: func(dst []int8, from, to int) { bytes.Fill(dst, i*n*k+from, i*n*k+to) }}
				if bytes.Codes != nil {
					b.Codes = bytes.Codes[i*n*k:][:n*k]
				}
				parts[i].Bytes = b
			}
			parts[i].SetMatMul(n, k, o.TransB, p.in, d, func(dst []int16) { copy(dst, codes()[i*n*k:]) })
		}
	})
	p.max = 0
	for _, part := range parts {
		p.max = max(p.max, part.MaxAbs())
	}
}

// Forward computes out from x and a bias, which is nil or has one element per
// channel. An out with Codes gets the activation act, or its Fn, and is rounded to its grid; one
// with Values is left as it is, and its Grid does not count. out has the shape of
// [OutShape] and is overwritten. At most threads goroutines take part, GOMAXPROCS
// with 0. Errors wrap ErrShape or ErrSettings; one of them says that the sums could
// exceed 32 bits.
func (p *IntLayer) Forward(threads int, out IntTensor, act kern.Clip, x IntTensor, bias []float32) error {
	if err := p.check(out, x, bias); err != nil {
		return err
	}
	return p.Apply(threads, out, act, x, bias)
}

// Apply is [IntLayer.Forward] for shapes, lengths and grids that are known to be
// right; it still refuses sums that could exceed 32 bits.
func (p *IntLayer) Apply(threads int, out IntTensor, act kern.Clip, x IntTensor, bias []float32) error {
	if err := p.checkSum(x); err != nil {
		return err
	}
	y := kern.IntY{Codes: out.Codes, Values: out.Values, Grid: out.Grid, Act: act, Fn: out.Fn}
	switch o := p.op.(type) {
	case Conv:
		g := convGeometry(o, x.Shape, p.wShape, out.Shape)
		p.parts[0].Conv(threads, &g, y, x.x(), bias)
	case ConvTranspose:
		apart, free := o.apart(threads, x, p.wShape, out.Shape)
		defer free()
		g := convGeometry(o.conv(), apart.Shape, p.wShape, out.Shape)
		p.parts[0].Conv(threads, &g, y, apart.x(), bias)
	case MatMul:
		batch, m, _, _, _ := matDims(o, x.Shape, p.wShape)
		if batch == 1 {
			p.parts[0].MatMul(threads, m, y, x.x(), o.TransA, bias)
			break
		}
		par.ForN(threads, batch, 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				inner := max(1, (threads+batch-1)/batch)
				p.parts[i].MatMul(inner, m, y.Part(i, batch), x.x().Part(i, batch), o.TransA, bias)
			}
		})
	}
	return nil
}

// orNone makes a nil layer printable.
func orNone(op Op) Op {
	if op == nil {
		return Unary{Fn: "nil layer"}
	}
	return op
}

func checkWeights(op Op, w IntWeights) error {
	if err := Check(op); err != nil {
		return err
	}
	rank := len(w.Shape)
	groups := 0
	switch o := op.(type) {
	case Conv:
		groups = o.Groups
	case ConvTranspose:
		groups = o.Groups
	case MatMul:
		if rank < 2 {
			return shapeErr(op, "weights of shape %v have no matrix", w.Shape)
		}
	}
	if groups > 0 && (rank != 4 || w.Shape[0]%groups != 0) {
		return shapeErr(op, "weights of shape %v with %d groups", w.Shape, groups)
	}
	if _, err := count(op, "weights", w.Shape); err != nil {
		return err
	}
	out, in := TraitsOf(op).Weights.Axes(rank)
	return checkBlocks(op, w.Shape[in], w.Shape[out], len(w.Scale), w.Blocks, w.BlockSize)
}

// check compares shapes and lengths.
func (p *IntLayer) check(out, x IntTensor, bias []float32) error {
	shapes := [][]int{x.Shape, p.wShape, nil}[:2]
	if bias != nil {
		shapes = append(shapes, []int{len(bias)})
	}
	want, err := OutShape(p.op, shapes)
	if err != nil {
		return err
	}
	if product(out.Shape) != product(want) || !sameShape(out.Shape, want) {
		return shapeErr(p.op, "output has shape %v, want %v", out.Shape, want)
	}
	if out.Codes == nil {
		out.Grid = kern.Grid{}
	}
	if err := out.check(p.op, "output"); err != nil {
		return err
	}
	if err := x.check(p.op, "input"); err != nil {
		return err
	}
	if x.Grid != p.in {
		return settingsErr(p.op, "input on grid %v, set up for %v", x.Grid, p.in)
	}
	return nil
}

func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// checkSum first asks what the grid allows, and looks at the codes only where that
// is too much.
func (p *IntLayer) checkSum(x IntTensor) error {
	terms := Terms(p.op, x.Shape, p.wShape)
	if checkSum(p.op, terms, int(max(x.Grid.ZeroPoint, x.Grid.Qmax-x.Grid.ZeroPoint)), p.max) == nil {
		return nil
	}
	return checkSum(p.op, terms, x.x().MaxAbs(), p.max)
}

func checkBlocks(op Op, axis, channels, scales, blocks, blockSize int) error {
	want := 1
	switch {
	case blockSize < 0:
		return settingsErr(op, "block size is %d, want at least 0", blockSize)
	case blockSize > 0:
		want = (axis-1)/blockSize + 1
	}
	if blocks != want {
		return settingsErr(op, "%d blocks, but blocks of %d cut %d elements into %d", blocks, blockSize, axis, want)
	}
	if scales != 1 && scales != channels*blocks {
		return settingsErr(op, "%d weight scales, want 1 or %d (%d channels of %d blocks)", scales, channels*blocks, channels, blocks)
	}
	return nil
}

func checkSum(op Op, terms, x, w int) error {
	if largest := int64(x) * int64(w); largest > 0 && int64(terms) > math.MaxInt32/largest {
		return settingsErr(op, "%d products of codes up to %d and %d exceed a 32-bit sum: use fewer bits or a narrower layer", terms, x, w)
	}
	return nil
}

// IntAvgPool computes an average Pool or a GlobalAvgPool on codes:
//
//	y = float32(float32(sum) · scale) / float32(count)
//
// in float32, where sum is the exact integer sum of the window's centred codes and
// count is the divisor of the layer (see [Pool]). Real numbers in x must lie on its
// grid. Threads and errors as in [IntLayer.Forward].
func IntAvgPool(threads int, op Op, out Tensor[float32], x IntTensor) error {
	want, err := OutShape(op, [][]int{x.Shape})
	if err != nil {
		return err
	}
	if err := checkData(op, "output", out, want); err != nil {
		return err
	}
	if err := x.check(op, "input"); err != nil {
		return err
	}
	var g kern.Pool
	switch o := op.(type) {
	case GlobalAvgPool:
		g = globalGeometry(x.Shape)
	case Pool:
		g = o.Geometry(x.Shape, out.Shape)
		if !o.Average {
			return settingsErr(op, "not an average: maxima of codes need no arithmetic")
		}
	default:
		return settingsErr(op, "not an average pooling")
	}
	window := min(g.Kernel[0], g.H) * min(g.Kernel[1], g.W)
	if err := checkSum(op, window, int(x.Grid.Qmax), 1); err != nil {
		if err := checkSum(op, window, x.x().MaxAbs(), 1); err != nil {
			return err
		}
	}
	kern.AvgPoolCodes(threads, &g, out.Data, x.x())
	return nil
}
