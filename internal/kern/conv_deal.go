package kern

import "unsafe"

// Rows of an image are dealt to the phases of strides above two: by halves where the stride is
// a power of two, which vectors do, else one element after the other.

// dealer deals some rows of a plane.
type dealer struct {
	*padLayout
	dst    []float32 // the first row's place in the first phase
	phases []int
	rows   int
	waste  []float32 // takes what belongs to phases that are not used
}

// deal writes rows of src, which are steps[0] rows apart, to their phases.
func (l *padLayout) deal(dst, src []float32, phases []int, rows int) {
	if s := l.steps[1]; s&(s-1) != 0 || level < LevelAVX2 {
		l.dealEach(dst, src, phases, rows)
		return
	}
	waste := borrow[float32](l.w)
	defer giveBack(waste)
	d := dealer{l, dst, phases, rows, *waste}
	d.halves(unsafe.Pointer(&src[0]), 4*l.w*l.steps[0], l.w, 0, 1)
}

// halves deals n elements of each row, which are columns p, p+step and so on of the plane.
func (d *dealer) halves(c unsafe.Pointer, stepC, n, p, step int) {
	r := rowArgs{c: c, stepC: stepC, rows: d.rows, planes: 1}
	if 2*step == d.steps[1] {
		r.a, r.stepA = d.place(p)
		if r.b, r.stepB = r.a, r.stepA; n > 1 {
			r.b, r.stepB = d.place(p + step)
		}
		r.splitRows(n)
		return
	}
	even, odd := (n+1)/2, n/2
	buf := borrow[float32](d.rows*n + 1)
	defer giveBack(buf)
	r.a, r.stepA = unsafe.Pointer(&(*buf)[0]), 4*even
	r.b, r.stepB = unsafe.Pointer(&(*buf)[d.rows*even]), 4*odd
	a, b := r.a, r.b // the assembly changes those of r
	r.splitRows(n)
	d.halves(a, 4*even, even, p, 2*step)
	if odd > 0 {
		d.halves(b, 4*odd, odd, p+step, 2*step)
	}
}

// place is where column p of the first row goes, and the bytes from there to the next row's.
func (d *dealer) place(p int) (unsafe.Pointer, int) {
	p += d.left
	phase := d.phases[p%d.steps[1]]
	if phase < 0 {
		return unsafe.Pointer(&d.waste[0]), 0
	}
	return unsafe.Pointer(&d.dst[phase+p/d.steps[1]]), 4 * d.pw
}

// dealEach is deal element by element.
func (l *padLayout) dealEach(dst, src []float32, phases []int, rows int) {
	for i := range rows {
		for x, v := range src[i*l.steps[0]*l.w:][:l.w] {
			x += l.left
			if p := phases[x%l.steps[1]]; p >= 0 {
				dst[i*l.pw+p+x/l.steps[1]] = v
			}
		}
	}
}
