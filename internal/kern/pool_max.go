package kern

import "unsafe"

//go:generate go -C _gen run . -set pool -out ../pool_amd64.s -stubs ../pool_stubs_amd64.go

// Maximum pools of any window in vectors: the rows of a window become one, then its columns.

// maxArgs is some rows of windows, all inside the plane from top to bottom. Elements are
// float32 or bytes. The assembly reads the fields by their offsets.
type maxArgs struct {
	x     unsafe.Pointer // the first window's first row
	row   int            // bytes of a row of x
	width int            // its elements
	taps  int            // rows of a window
	step  int            // bytes from one window's first row to the next one's

	buf    unsafe.Pointer // room for a row, of codes for one of each window; lowest values around it
	from   unsafe.Pointer // where the first window begins in it, in the padding perhaps
	cols   int            // columns of a window
	stride int

	dst    unsafe.Pointer
	ow, oh int
	pitch  int // bytes between rows of buf, for codes
}

// maxPlan is what planes of one pooling share.
type maxPlan struct {
	*Pool
	left, pitch int // a row's place in its part of the buffer, and the part's size
	rows, size  int // how many rows of windows go together, and the buffer's size
	stretches   []maxStretch
}

// newMaxPlan lays out the buffer: vectors read up to slack elements behind the last window.
func (p *Pool) newMaxPlan(slack int, codes bool) maxPlan {
	size := max(p.Pad[1]+p.W, (p.OW-1)*p.Stride[1]+p.Kernel[1]) // the last window may be cut short
	m := maxPlan{Pool: p, left: p.Pad[1], pitch: size}
	m.rows = min(p.OH, max(1, elemChunk/max(1, p.W*p.Kernel[0]+p.OW*p.Kernel[1])))
	m.size = size + slack*max(1, p.Stride[1])
	if codes {
		m.rows = min(m.rows, max(2, maxBuffer/size))
		m.size += (m.rows - 1) * size
	}
	m.cut()
	return m
}

// maxBuffer is about how many codes of rows of maxima are kept at a time.
const maxBuffer = 4 << 10

// maxSlack is what vectors of float32 may read behind the last window, in strides.
const maxSlack = 2 * vecLanes

// maxByteSlack is so for codes.
const maxByteSlack = 128

// maxStretch is some output rows whose windows have the same number of rows; y0 is the first
// window's first row.
type maxStretch struct{ oy, rows, y0, taps int }

// cut cuts the output rows into stretches of at most m.rows rows.
func (m *maxPlan) cut() {
	for oy := 0; oy < m.OH; {
		y0, y1, _, _ := m.window(oy, 0)
		rows := 1
		for y1-y0 == m.Kernel[0] && rows < m.rows && oy+rows < m.OH {
			if a, b, _, _ := m.window(oy+rows, 0); b-a != m.Kernel[0] {
				break
			}
			rows++
		}
		m.stretches = append(m.stretches, maxStretch{oy, rows, y0, y1 - y0})
		oy += rows
	}
}

// args fills in all but the kernel: out and x are a plane, buf a row; size is an element's.
func (m *maxPlan) args(out, x, buf unsafe.Pointer, size int, run func(a *maxArgs)) {
	a := maxArgs{row: size * m.W, width: m.W, step: size * m.W * m.Stride[0], cols: m.Kernel[1], stride: m.Stride[1], ow: m.OW, pitch: size * m.pitch,
		buf: unsafe.Add(buf, size*m.left), from: buf}
	for _, t := range m.stretches {
		a.x, a.dst, a.taps, a.oh = unsafe.Add(x, size*m.W*t.y0), unsafe.Add(out, size*m.OW*t.oy), t.taps, t.rows
		run(&a)
	}
}

// plane writes the maxima of one plane; buf holds the lowest number but for what earlier planes
// have left.
func (m *maxPlan) plane(out, x, buf []float32) {
	m.args(unsafe.Pointer(&out[0]), unsafe.Pointer(&x[0]), unsafe.Pointer(&buf[0]), 4, (*maxArgs).run)
}
