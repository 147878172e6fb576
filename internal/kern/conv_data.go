package kern

// What is the gradient of a convolution with respect to its input?

import "github.com/goqat/goqat/internal/par"

// ConvBackwardData writes the gradient with respect to x. Each element is one sum
// over the outputs that it takes part in, by output channel, then kernel row, then
// kernel column, as far as the stride lets a tap meet the element; outputs
// outside the image count as zeros. In float32 the sum is cut every KC taps.
func ConvBackwardData[F Float](c *Conv, dx, w, dy []F) {
	if dx, ok := any(dx).([]float32); ok && fastConv() {
		convBackwardDataFast(c, dx, any(w).([]float32), any(dy).([]float32))
		return
	}
	convBackwardData(c, dx, w, dy)
}

// gradPhase is the part of the gradient that a phase of the stride writes: a
// convolution of the padded gradient of the output with stride 1.
type gradPhase struct {
	convPlan
	taps   []int // places of the phase's taps in a kernel [R][S]
	y0, x0 int   // the element of dx that grid pixel (0, 0) is
}

// convBackwardData is the portable ConvBackwardData.
func convBackwardData[F Float](c *Conv, dx, w, dy []F) {
	if emulated[F]() {
		convBackwardDataPacked[F, float64](c, dx, w, dy)
	} else {
		convBackwardDataPacked[F, F](c, dx, w, dy)
	}
}

// convBackwardDataPacked is convBackwardData with the factors packed as P.
func convBackwardDataPacked[F, P Float](c *Conv, dx, w, dy []F) {
	phases, pad := gradPhases(c)
	kg, cg := c.kg(), c.cg()
	packed := make([][][tileRows]P, len(phases)*c.Groups)
	weights := make([][]P, len(packed))
	low := 0
	if emulated[F]() {
		low = lowest(w[:c.K*cg*c.R*c.S])
	}
	for i := range packed {
		p, g := &phases[i/c.Groups], i%c.Groups
		weights[i] = phaseWeights[F, P](c, p, w, g)
		steps := kg * len(p.taps)
		packed[i] = make([][tileRows]P, ceilDiv(cg, tileRows)*steps)
		for t := 0; steps > 0 && t < ceilDiv(cg, tileRows); t++ {
			packRows(packed[i][t*steps:][:steps], RowMajor(weights[i], steps, false), t*tileRows, cg)
		}
	}
	par.For(c.N*c.Groups, 1, func(lo, hi int) {
		buf, part := newImages[F, P](pad), borrow[F](cg*c.H*c.W)
		defer buf.giveBack()
		defer giveBack(part)
		for u := lo; u < hi; u++ {
			n, g := u/c.Groups, u%c.Groups
			src, lowImg := buf.image(pad, dy, n, g)
			normal := neverSubnormal(low, lowImg)
			for i := range phases {
				p := &phases[i]
				dst := (*part)[:cg*p.pixels()]
				switch {
				case len(p.taps) == 0:
					clear(dst)
				case p.thin():
					for k := range cg {
						steps := kg * len(p.taps)
						depthwisePlane(&p.convPlan, dst[k*p.pixels():][:p.pixels()], src, weights[i*c.Groups+g][k*steps:][:steps], normal)
					}
				default:
					convPixels(&p.convPlan, dst, src, packed[i*c.Groups+g], nil, 0, p.pixels(), normal)
				}
				spreadPhase(c, p, dx[(n*c.Groups+g)*cg*c.H*c.W:], dst)
			}
		}
	})
}

// gradPhases returns the phases, and the plan by which the gradient of the output is padded.
func gradPhases(c *Conv) (phases []gradPhase, pad *convPlan) {
	top, bottom := tapReach(c.H, c.OH, c.R, c.Stride[0], c.Dilation[0], c.Pad[0])
	left, right := tapReach(c.W, c.OW, c.S, c.Stride[1], c.Dilation[1], c.Pad[1])
	dy := Conv{C: c.K, H: c.OH, W: c.OW, K: c.C, R: 1, S: 1, Groups: c.Groups,
		Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{top, left, bottom, right}}
	pad = newConvPlan(&dy)
	for y0 := range min(c.Stride[0], c.H) {
		for x0 := range min(c.Stride[1], c.W) {
			p := gradPhase{convPlan: *pad, y0: y0, x0: x0}
			geometry := dy
			geometry.OH, geometry.OW = ceilDiv(c.H-y0, c.Stride[0]), ceilDiv(c.W-x0, c.Stride[1])
			var off []int
			for i := range c.R * c.S {
				y, okY := tapSource(y0, i/c.S, c.Stride[0], c.Dilation[0], c.Pad[0])
				x, okX := tapSource(x0, i%c.S, c.Stride[1], c.Dilation[1], c.Pad[1])
				if okY && okX {
					p.taps = append(p.taps, i)
					off = append(off, (y+top)*p.pw+x+left)
				}
			}
			geometry.S = len(off)
			p.Conv = &geometry
			p.off, p.pix = nil, make([]int, p.pixels())
			for k := range c.kg() {
				for _, o := range off {
					p.off = append(p.off, k*p.ph*p.pw+o)
				}
			}
			for i := range p.pix {
				p.pix[i] = i/p.OW*p.pw + i%p.OW
			}
			phases = append(phases, p)
		}
	}
	return phases, pad
}

// phaseWeights gathers the weights of group g and of the phase's taps: [cg][kg][taps].
func phaseWeights[F, P Float](c *Conv, p *gradPhase, w []F, g int) []P {
	var out []P
	for ch := range c.cg() {
		for k := range c.kg() {
			for _, t := range p.taps {
				out = append(out, P(w[((g*c.kg()+k)*c.cg()+ch)*c.R*c.S+t]))
			}
		}
	}
	return out
}

// spreadPhase writes the phase's grid [cg][OH][OW] to its places in dx [cg][H][W].
func spreadPhase[F Float](c *Conv, p *gradPhase, dx, grid []F) {
	for i, v := range grid {
		ch, i := i/p.pixels(), i%p.pixels()
		dx[(ch*c.H+p.y0+i/p.OW*c.Stride[0])*c.W+p.x0+i%p.OW*c.Stride[1]] = v
	}
}
