package kern

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestActQuantPool2: the pass is its parts one after the other, forward and backward, bit
// for bit.
func TestActQuantPool2(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for seed := range uint64(400) {
			r := &trial{r: rand.New(rand.NewPCG(seed, 6))}
			h, w := 2+r.r.IntN(6), 2+r.r.IntN(45)
			p := Pool{Planes: 1 + r.r.IntN(5), H: h, W: w, OH: h / 2, OW: w / 2, Kernel: twos, Stride: twos}
			in, n := p.Planes*h*w, p.Planes*p.OH*p.OW
			x, dout, act := r.in(in), r.in(n), r.clip()
			g := r.grid()
			if seed%3 == 0 {
				g = nil
			}
			for i := range x { // windows with equal elements, and with none
				if r.r.IntN(3) == 0 {
					x[i] = float32(r.r.IntN(3))
				}
			}
			y, mask := make([]float32, in), make([]uint8, MaskLen(p.Planes, 1, h*w))
			AffineActQuant(y, x, p.Planes, 1, h*w, nil, nil, act, g, mask)
			want, wantDx := make([]float32, n), make([]float32, in)
			MaxPool(&p, want, y)
			MaxPoolBackward(&p, wantDx, y, want, dout)
			AffineBackward(wantDx, wantDx, nil, p.Planes, 1, h*w, mask, nil, nil, nil)

			out, dx, picks := r.out(n), r.out(in), make([]uint8, p.PicksLen())
			ActQuantPool2(&p, out, x, act, g, picks)
			Pool2Backward(&p, dx, dout, picks)
			what := fmt.Sprintf("seed %d, %+v, %+v, %+v: ", seed, p, act, g)
			sameOrNaN(t, what+"output", out, want)
			sameOrNaN(t, what+"gradient", dx, wantDx)
		}
	})
}

func sameOrNaN(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if !same(got[i], want[i]) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
