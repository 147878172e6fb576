package kern

// In what order do tiles read weights? They are packed so, once a call.

import "unsafe"

// Weights are packed once for a call, in the order in which tiles read them: for each
// group, pass and part of the rows, step by step the weights of the part's rows. Where
// they lie in the tensor, each row is a stream of its own with gaps, too many for the
// processor to foresee.

// packWeights makes r.packed.
func (r *convRun) packWeights() {
	limit, _ := tileShape()
	r.part = evenRows(r.p.rows, limit)
	if r.channels {
		r.part = panelLanes()
	}
	r.packed = borrow[float32](r.groups * r.p.rows * r.p.weights)
	for g := range r.groups {
		for i := range r.p.passes {
			pass := &r.p.passes[i]
			for row := 0; row < r.p.rows && len(pass.offA) > 0; row += r.part {
				rows := min(r.part, r.p.rows-row)
				r.packRows(unsafe.Slice((*float32)(r.packedOf(g, pass, row, rows, 0)), rows*len(pass.offA)), pass, r.weightsOf(g, row), rows)
			}
		}
	}
}

// packRows packs the weights of some rows, the first of which is at src.
func (r *convRun) packRows(dst []float32, pass *tapPass, src unsafe.Pointer, rows int) {
	if !r.p.backward {
		transpose(unsafe.Pointer(&dst[0]), 4*rows, src, r.rs, rows, len(pass.offA))
		return
	}
	if r.rs == 4 { // one tap: the rows of a step are neighbours
		for k, off := range pass.offA {
			copy(dst[k*rows:][:rows], unsafe.Slice((*float32)(unsafe.Add(src, off)), rows))
		}
		return
	}
	for k := 0; k < len(pass.offA); { // the taps of a channel are neighbours, unless a stride takes some out
		n := 1
		for k+n < len(pass.offA) && pass.offA[k+n] == pass.offA[k]+4*n {
			n++
		}
		transpose(unsafe.Pointer(&dst[k*rows]), 4*rows, unsafe.Add(src, pass.offA[k]), r.rs, rows, n)
		k += n
	}
}

// packedOf is where the packed weights of a part of the rows start at step k.
func (r *convRun) packedOf(group int, pass *tapPass, row, rows, k int) unsafe.Pointer {
	return unsafe.Pointer(&(*r.packed)[r.p.rows*(group*r.p.weights+pass.weights)+row*len(pass.offA)+rows*k])
}

// weightsOf is the first weight of a row of a group.
func (r *convRun) weightsOf(group, row int) unsafe.Pointer {
	if r.p.backward {
		return unsafe.Pointer(&r.w[group*r.p.planes*r.p.rows*r.rs/4+row*r.rs/4])
	}
	return unsafe.Pointer(&r.w[(group*r.p.rows+row)*r.rs/4])
}

// packedAt is packedOf for the unit's group.
func (w *convWork) packedAt(pass *tapPass, row, rows, k int) unsafe.Pointer {
	return w.packedOf(w.group, pass, row, rows, k)
}

// packedOffsets are the offsets of the steps of packed weights, by the number of rows.
var packedOffsets = func() (t [tileMaxRows + 1][KC]int) {
	for rows := range t {
		for k := range KC {
			t[rows][k] = 4 * rows * k
		}
	}
	return t
}()

func packedSteps(rows int) *int { return &packedOffsets[rows][0] }
