package kern

// Which arguments do the integer kernels read?

import "unsafe"

//go:generate go -C _gen run . -set int -out ../int_amd64.s -stubs ../int_stubs_amd64.go

// The arguments of the assembly kernels of integer products. Kernels read the
// fields by their offsets. All strides are in bytes.

// intPackArgs interleaves rows of bytes into dwords.
type intPackArgs struct {
	src       [4]unsafe.Pointer // a row of each plane; pairs use two
	srcStride int               // to the next row
	dst       unsafe.Pointer
	dstStride int
	full      int            // vectors of 16 columns (split: of 32; AVX2: of 8)
	rows      int            // at least 1
	odd       unsafe.Pointer // split: where the odd columns go
	zero      int32          // pairs: what is taken off
	tail      uint32         // columns after the full vectors, as a mask
	tailEven  uint16         // split: even ones among them
	tailOdd   uint16
}

// intEpi turns a tile of sums, rows of 32, into numbers or codes.
type intEpi struct {
	rows  int
	acc   unsafe.Pointer // rows of 32 int32
	prev  unsafe.Pointer // nil, or rows of 32 float32 that are added to the scaled sums
	sub   unsafe.Pointer // int32: taken off the sums
	scale unsafe.Pointer // float32
	bias  unsafe.Pointer // float32
	out   [2]unsafe.Pointer
	ldo   int       // from one row of out to the next
	inc   int       // 4: sub, scale, bias have one number per row; 0: one for all rows
	mask  [2]uint16 // columns of each vector: the first ones
	zero  int32     // of the output's grid
	act   Clip
	step  float32 // the output's scale
	lo    float32 // limits of the codes, relative to zero
	hi    float32
	clip  int // 0: the activation changes no code
}

// setGrid fills in what codes need.
func (e *intEpi) setGrid(y *IntY) {
	if y.Codes == nil {
		return
	}
	e.lo, e.hi = y.Grid.limits()
	e.zero, e.act, e.step = y.Grid.ZeroPoint, y.Act, y.Grid.Scale
	e.clip = 1
	if y.Act == NoClip() || y.Act == ReLU() && e.lo == 0 { // the lowest code is that of 0
		e.clip = 0
	}
}

// run is the epilogue: columns says that sub, scale and bias have one number per
// column.
func (e *intEpi) run(codes, columns bool) {
	if !e.fast(codes, columns) {
		e.portable(codes, columns)
	}
}

// portable is the definition of the assembly kernels.
func (e *intEpi) portable(codes, columns bool) {
	type row = [panelCols]float32
	for i := range e.rows {
		acc := (*[panelCols]int32)(unsafe.Add(e.acc, 4*panelCols*i))
		for j := range panelCols {
			v, l := j/tileLanes, j%tileLanes
			if e.mask[v]>>l&1 == 0 {
				continue
			}
			at := e.inc * i
			if columns {
				at = 4 * j
			}
			y := float32(float32(acc[j]-*(*int32)(unsafe.Add(e.sub, at))) * *(*float32)(unsafe.Add(e.scale, at)))
			if e.prev != nil {
				y += (*row)(unsafe.Add(e.prev, 4*panelCols*i))[j]
			}
			y += *(*float32)(unsafe.Add(e.bias, at))
			out := unsafe.Add(e.out[v], e.ldo*i)
			if !codes {
				*(*float32)(unsafe.Add(out, 4*l)) = y
				continue
			}
			*(*uint8)(unsafe.Add(out, l)) = uint8(int32(steps(e.act.Apply(y), e.step, e.lo, e.hi)) + e.zero)
		}
	}
}

// intDepth sums the taps of one channel of a depthwise convolution.
type intDepth struct {
	steps     int
	src       unsafe.Pointer
	srcStride int  // between the first rows of two rows of outputs
	off       *int // steps offsets
	w         unsafe.Pointer
	perm      unsafe.Pointer // 16 int32: dwords of 64 bytes
	shuf      unsafe.Pointer // 64 bytes: bytes of 16
	col       int            // bytes from 16 outputs to the next
	full      int            // vectors of 16 outputs in a row
	rows      int            // at least 1
	acc       unsafe.Pointer // int32, all outputs in order
	tail      uint16         // outputs after the full vectors, as a mask
	rest      int            // bytes of acc that they take
}

// intPool takes maxima of two by two bytes of rows of a plane.
type intPool struct {
	dst, src        unsafe.Pointer
	width, dstWidth int    // bytes of a row
	full            int    // vectors of 32 maxima in a row
	rows            int    // of maxima, at least 1
	in              uint64 // bytes after the full vectors, as a mask
	out             uint64 // and the maxima that they give
}
