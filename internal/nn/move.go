package nn

// Layers that only move elements: each gradient is the move back.

func permuted(o Transpose, x []int) []int {
	own, s := strides(x), make([]int, len(x))
	for i, p := range o.Perm {
		s[i] = own[p]
	}
	return s
}

func transposeForward[F Float](o Transpose, out, x Tensor[F]) {
	from := permuted(o, x.Shape)
	walkParallel(out.Shape, from, from, func(at, ox, _, n, dx, _ int) {
		dst := out.Data[at : at+n]
		for i := range dst {
			dst[i] = x.Data[ox+i*dx]
		}
	})
}

func transposeBackward[F Float](o Transpose, dx, dout Tensor[F]) {
	to := permuted(o, dx.Shape)
	walkParallel(dout.Shape, to, to, func(at, ox, _, n, step, _ int) {
		for i, v := range dout.Data[at : at+n] {
			dx.Data[ox+i*step] = v
		}
	})
}

// spans returns the number of elements before an axis and behind it.
func spans(shape []int, axis int) (outer, inner int) {
	return product(shape[:axis]), product(shape[axis+1:])
}

func concatForward[F Float](o Concat, out Tensor[F], in []Tensor[F]) {
	outer, inner := spans(out.Shape, o.Axis)
	row, at := out.Shape[o.Axis]*inner, 0
	for _, t := range in {
		n := t.Shape[o.Axis] * inner
		for i := range outer {
			copy(out.Data[i*row+at:][:n], t.Data[i*n:])
		}
		at += n
	}
}

func concatBackward[F Float](o Concat, grads, in []Tensor[F], dout Tensor[F]) {
	outer, inner := spans(dout.Shape, o.Axis)
	row, at := dout.Shape[o.Axis]*inner, 0
	for j, t := range in {
		n := t.Shape[o.Axis] * inner
		for i := 0; grads[j].Data != nil && i < outer; i++ {
			copy(grads[j].Data[i*n:][:n], dout.Data[i*row+at:])
		}
		at += n
	}
}

// sliceRows calls fn for each run of elements that a slice keeps: at in the output
// and from in the input, n of them.
func sliceRows(o Slice, x []int, fn func(at, from, n int)) {
	outer, inner := spans(x, o.Axis)
	at := 0
	for i := range outer {
		if o.Step == 1 {
			n := (o.End - o.Start) * inner
			fn(at, (i*x[o.Axis]+o.Start)*inner, n)
			at += n
			continue
		}
		// Counting the elements keeps j from overflowing with a huge step.
		j := o.Start
		for range (o.End-o.Start-1)/o.Step + 1 {
			fn(at, (i*x[o.Axis]+j)*inner, inner)
			at, j = at+inner, j+o.Step
		}
	}
}

func sliceForward[F Float](o Slice, out, x Tensor[F]) {
	sliceRows(o, x.Shape, func(at, from, n int) { copy(out.Data[at:at+n], x.Data[from:]) })
}

func sliceBackward[F Float](o Slice, dx, x, dout Tensor[F]) {
	clear(dx.Data)
	sliceRows(o, x.Shape, func(at, from, n int) { copy(dx.Data[from:from+n], dout.Data[at:]) })
}
