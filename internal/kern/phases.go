package kern

import "unsafe"

// mergePhases writes the phases of a plane of h×w elements to their places. Phase (py, px) has
// the elements of rows py, py+stride[0] and so on and of columns px, px+stride[1] and so on;
// phases follow each other without gaps, first those with py = 0.
func mergePhases(out, phases []float32, h, w int, stride [2]int) {
	columns := min(stride[1], w)
	for py := range min(stride[0], h) {
		rows := ceilDiv(h-py, stride[0])
		r := rowArgs{a: unsafe.Pointer(&phases[0]), c: unsafe.Pointer(&out[py*w]), stepC: 4 * w * stride[0], rows: rows, planes: 1}
		switch columns {
		case 1:
			r.a, r.c, r.stepA, r.stepC = r.c, r.a, r.stepC, 4*w
			r.copyRows(w)
		case 2:
			first := ceilDiv(w, stride[1])
			r.stepA, r.b, r.stepB = 4*first, unsafe.Pointer(&phases[rows*first]), 4*(w-first)
			r.mergeRows(w)
		default:
			spreadColumns(out[py*w:], phases, rows, w, stride)
		}
		phases = phases[rows*w:]
	}
}

// spreadColumns is mergePhases for the phases of the same rows, element by element.
func spreadColumns(out, phases []float32, rows, w int, stride [2]int) {
	for px := range min(stride[1], w) {
		cols := ceilDiv(w-px, stride[1])
		for y := range rows {
			row := out[y*stride[0]*w:][:w]
			for x, v := range phases[:cols] {
				row[px+x*stride[1]] = v
			}
			phases = phases[cols:]
		}
	}
}
