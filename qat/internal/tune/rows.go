package tune

// This file says which input vectors the weights of a layer are multiplied with.

import (
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/par"
	"github.com/goqat/goqat/qat/internal/plan"
)

// rows cuts the input of a weighted layer into the vectors that its weights are
// multiplied with: one per output position, of geo.cols elements (im2col).
type rows struct {
	geo      weightGeometry
	conv     nn.Conv
	back     [2]int // strides of a transposed convolution, else 0; conv's are 1 then
	kernel   [2]int // of a convolution
	image    [3]int // channels, height, width of its input
	out      [2]int // height, width of its result
	isConv   bool
	n        int // images, or rows of a matrix
	stride   int // every stride-th position of an image is used
	perImage int // positions used
}

// rowsOf is for an input of the given shape. At most limit positions of an image are
// used, spread evenly; 0 means all.
func rowsOf(l *plan.Layer, shape []int, limit int) rows {
	r := rows{geo: geometryOf(l), n: shape[0], stride: 1, perImage: 1}
	w := l.In[1].Shape
	op, ok := l.Op.(nn.Conv)
	if o, is := l.Op.(nn.ConvTranspose); is {
		op, ok, r.back = nn.Conv{Stride: [2]int{1, 1}, Pad: o.Pad, Dilation: o.Dilation, Groups: o.Groups}, true, o.Stride
	}
	if !ok {
		if m, ok := l.Op.(nn.MatMul); ok && m.TransA {
			r.n = shape[1]
			r.image = [3]int{shape[0], shape[1], 1}
		}
		return r
	}
	r.conv, r.isConv, r.kernel, r.image = op, true, [2]int{w[2], w[3]}, [3]int{shape[1], shape[2], shape[3]}
	// The batch and the layer were checked when the graph was read.
	if out, err := nn.OutShape(l.Op, [][]int{shape, w}); err == nil {
		r.out = [2]int(out[2:])
	}
	all := r.out[0] * r.out[1]
	if limit > 0 && all > limit {
		// A stride that shares no factor with the width sees every column of the image.
		for r.stride = (all + limit - 1) / limit; gcd(r.stride, r.out[1]) != 1; {
			r.stride++
		}
	}
	r.perImage = (all + r.stride - 1) / r.stride
	return r
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// count is the number of vectors.
func (r rows) count() int { return r.n * r.perImage }

// fill writes vector i of a group of input channels into dst, geo.cols long.
func (r rows) fill(dst []float64, x []float32, group, i int) {
	if !r.isConv {
		if r.image[0] > 0 { // transposed: x is [cols, rows]
			for j := range dst {
				dst[j] = float64(x[j*r.n+i])
			}
			return
		}
		for j, v := range x[i*len(dst) : (i+1)*len(dst)] {
			dst[j] = float64(v)
		}
		return
	}
	if r.back[0] > 0 {
		r.fillBack(dst, x, group, i)
		return
	}
	position := i % r.perImage * r.stride
	top := position/r.out[1]*r.conv.Stride[0] - r.conv.Pad[0]
	left := position%r.out[1]*r.conv.Stride[1] - r.conv.Pad[1]
	h, w := r.image[1], r.image[2]
	first := i/r.perImage*r.image[0] + group*r.geo.perOut
	j := 0
	for c := range r.geo.perOut {
		plane := x[(first+c)*h*w : (first+c+1)*h*w]
		for a := range r.kernel[0] {
			y := top + a*r.conv.Dilation[0]
			for b := range r.kernel[1] {
				dst[j] = 0
				if col := left + b*r.conv.Dilation[1]; y >= 0 && y < h && col >= 0 && col < w {
					dst[j] = float64(plane[y*w+col])
				}
				j++
			}
		}
	}
}

// fillBack is fill of a transposed convolution: a tap sees the pixel that it moves to the
// position, if there is one.
func (r rows) fillBack(dst []float64, x []float32, group, i int) {
	position := i % r.perImage * r.stride
	top, left := position/r.out[1]+r.conv.Pad[0], position%r.out[1]+r.conv.Pad[1]
	h, w := r.image[1], r.image[2]
	first := i/r.perImage*r.image[0] + group*r.geo.perOut
	j := 0
	for c := range r.geo.perOut {
		plane := x[(first+c)*h*w : (first+c+1)*h*w]
		for a := range r.kernel[0] {
			y := top - a*r.conv.Dilation[0]
			for b := range r.kernel[1] {
				dst[j] = 0
				col := left - b*r.conv.Dilation[1]
				if y >= 0 && col >= 0 && y%r.back[0] == 0 && col%r.back[1] == 0 && y/r.back[0] < h && col/r.back[1] < w {
					dst[j] = float64(plane[y/r.back[0]*w+col/r.back[1]])
				}
				j++
			}
		}
	}
}

// moments are the sums that the best rounding depends on, for one group of input
// channels: over the vectors xq of the quantized network and xf of the float one.
type moments struct {
	k      int
	n      int
	QQ     []float64 // Σ xq·xqᵀ, [k,k]
	fq     []float64 // Σ xf·xqᵀ, [k,k]
	q, f   []float64 // Σ xq, Σ xf
	bq, bf []float64 // vectors gathered but not yet summed, [k, chunk]
	fill   int
}

// vectorsAtOnce is how many vectors are gathered before they are summed.
const vectorsAtOnce = 256

func NewMoments(k int) *moments {
	return &moments{k: k, QQ: make([]float64, k*k), fq: make([]float64, k*k), q: make([]float64, k), f: make([]float64, k),
		bq: make([]float64, k*vectorsAtOnce), bf: make([]float64, k*vectorsAtOnce)}
}

// each calls f with all vectors of a batch and the number of the image or row that they
// are of. They are valid during the call.
func (r rows) each(group int, float, quantized []float32, f func(sample int, vf, vq []float64)) {
	vf, vq := make([]float64, r.geo.cols), make([]float64, r.geo.cols)
	for i := range r.count() {
		r.fill(vf, float, group, i)
		r.fill(vq, quantized, group, i)
		f(i/r.perImage, vf, vq)
	}
}

// add takes in a vector of the float and of the quantized network.
func (m *moments) add(vf, vq []float64) {
	for j := range m.k {
		m.bf[j*vectorsAtOnce+m.fill] = vf[j]
		m.bq[j*vectorsAtOnce+m.fill] = vq[j]
	}
	if m.fill++; m.fill == vectorsAtOnce {
		m.flush()
	}
}

// flush sums what was gathered. Each element of a sum is made by one goroutine, in
// order, so the bits do not depend on how many there are.
func (m *moments) flush() {
	n := m.fill
	m.fill = 0
	m.n += n
	column := func(b []float64, j int) []float64 { return b[j*vectorsAtOnce:][:n] }
	par.For(m.k, max(1, (1<<14)/m.k), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			xq, xf := column(m.bq, i), column(m.bf, i)
			for _, v := range xq {
				m.q[i] += v
			}
			for _, v := range xf {
				m.f[i] += v
			}
			for j := range m.k {
				y := column(m.bq, j)
				if j >= i {
					m.QQ[i*m.k+j] += dot(xq, y)
				}
				m.fq[i*m.k+j] += dot(xf, y)
			}
		}
	})
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += float64(v * b[i])
	}
	return s
}

// finish completes the sums.
func (m *moments) finish() {
	m.flush()
	for i := range m.k {
		for j := range i {
			m.QQ[i*m.k+j] = m.QQ[j*m.k+i]
		}
	}
	m.bq, m.bf = nil, nil
}

// plus are the sums over the vectors of both, which are finished and not centred.
func (m *moments) plus(o *moments) *moments {
	add := func(a, b []float64) []float64 {
		s := make([]float64, len(a))
		for i, v := range a {
			s[i] = v + b[i]
		}
		return s
	}
	return &moments{k: m.k, n: m.n + o.n, QQ: add(m.QQ, o.QQ), fq: add(m.fq, o.fq), q: add(m.q, o.q), f: add(m.f, o.f)}
}

// centre takes the means off the vectors, which is right where a bias takes up the mean
// error.
func (m *moments) centre() {
	if m.n == 0 {
		return
	}
	n := float64(m.n)
	for i := range m.k {
		for j := range m.k {
			m.QQ[i*m.k+j] -= float64(m.q[i] * m.q[j] / n)
			m.fq[i*m.k+j] -= float64(m.f[i] * m.q[j] / n)
		}
	}
}
