package kern

// How are narrow images convolved, with output channels as lanes?

import "unsafe"

// Narrow images whose width is no multiple of four fill vectors of pixels badly: most
// vectors have two runs, and nearly every load crosses a cache line, which takes as long as
// four that do not (measured on Zen 5). Here the pixels are the rows of tiles instead, read
// one by one, and the output channels are the lanes. What the tiles write is transposed at
// the end, which long sums pay for. The sums are the same.

const (
	// channelSteps is the number of steps from which transposing pays.
	channelSteps = 128
	// channelPixels is about the number of pixels that are transposed at a time.
	channelPixels = 128
	// channelShare is what this way reaches of the processor's multiply-adds, in percent.
	channelShare = 88
)

// byChannel says that output channels are to be the lanes of a convolution, or of a gradient
// of its input, with so many input planes, output planes and output columns. Below five
// columns tiles are too small for the latency of a multiply-add.
func (c *Conv) byChannel(planes, rows, width int) bool {
	if level < LevelAVX512 || width >= vecLanes || width < 5 || width%4 == 0 || rows%panelLanes() != 0 ||
		planes*c.R*c.S < channelSteps || c.Stride != [2]int{1, 1} {
		return false
	}
	// Lanes that are pixels: a step of n rows takes n turns of the multipliers, and n/2 of
	// the loads for rows and 8 for two vectors of two runs, each across two lines.
	limit, _ := tileShape()
	n := evenRows(rows, limit)
	return 2*n*100*min(vecLanes, 2*width) < channelShare*(n+16)*vecLanes
}

// channelRows is the number of output rows of a block.
func (p *tapPass) channelRows() int { return min(p.oh, max(1, channelPixels/p.ow)) }

// channelTiles is the number of tiles of all channels.
func (w *convWork) channelTiles() int {
	pass := &w.p.passes[0]
	limit, _ := tileShape()
	return ceilDiv(w.p.rows, w.part) * pass.oh * ceilDiv(pass.ow, limit) * ceilDiv(len(pass.offB), KC)
}

// sweepChannels computes blocks [from, to) of output rows.
func (w *convWork) sweepChannels(pass *tapPass, dst outGrid, from, to int) {
	block := pass.channelRows()
	flat := (*w.panel)[:block*pass.ow*w.part]
	var biases []float32
	if w.bias != nil {
		biases = (*w.weights)[:len(flat)]
	}
	for ch := 0; ch < w.p.rows; ch += w.part {
		for i := 0; i < len(biases); i += w.part {
			copy(biases[i:i+w.part], w.bias[w.group*w.p.rows+ch:])
		}
		for y := from * block; y < min(to*block, pass.oh); y += block {
			rows := min(block, pass.oh-y)
			f := flat[:rows*pass.ow*w.part]
			w.channelBlock(f, pass, ch, y, rows)
			if biases != nil {
				Add(f, f, biases)
			}
			c := unsafe.Add(dst.base, 4*(ch*dst.plane+y*pass.ow))
			transpose(c, 4*dst.plane, unsafe.Pointer(&f[0]), 4*w.part, rows*pass.ow, w.part)
		}
	}
}

// channelBlock writes a panel of channels, from channel ch on, of rows rows of pixels to
// flat: [rows][ow][panelLanes()].
func (w *convWork) channelBlock(flat []float32, pass *tapPass, ch, y, rows int) {
	limit, _ := tileShape()
	part := evenRows(pass.ow, limit)
	t := tileArgs{rs: 4, ldc: 4 * w.part, offB: &panelSteps[1][0]}
	for from := 0; from < len(pass.offB); from += KC {
		t.k, t.offA = min(KC, len(pass.offB)-from), &pass.offB[from]
		vectors := t.setColumns(w.packedAt(pass, ch, w.part, from), w.part)
		for i := range rows {
			for x := 0; x < pass.ow; x += part {
				t.a = unsafe.Add(w.base, 4*w.p.place(pass, (y+i)*pass.ow+x))
				t.c = unsafe.Pointer(&flat[(i*pass.ow+x)*w.part])
				runTile(tileFloat, min(part, pass.ow-x), vectors, &t)
				p, lines := w.fetchAhead(1)
				fetchRows(p, 1, 0, lines)
			}
		}
		t.add = 1
	}
}
