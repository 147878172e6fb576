package kern

// How are tensors cut into rows that share parameters, and rows given to goroutines?

import (
	"runtime"

	"github.com/goqat/goqat/internal/par"
)

// elemChunk is the number of elements that one call of an elementwise kernel takes,
// and that are worth a goroutine: about 10 µs at most, since assembly cannot be
// preempted. It is a multiple of every lane count.
const elemChunk = 16 << 10

// rows cuts [n][c][inner] into rows whose elements share a parameter (planes of one
// channel) or, with inner == 1, that have one parameter each (images).
type rows struct {
	count, width int // rows, and elements in each
	c            int // parameters start again after so many rows
	each1        bool
}

func newRows(n, c, inner int, params, masked bool) rows {
	r := rows{count: n * c, width: inner, c: c}
	if inner == 1 {
		r = rows{count: n, width: c, c: 1, each1: params}
	}
	if params {
		return r
	}
	if !masked || r.width%8 == 0 { // one row: the mask has no gaps
		r.count, r.width = 1, r.count*r.width
	}
	r.c = r.count
	return r
}

// stretch is a number of whole rows, or a part of one; then width is that part's.
type stretch struct {
	lo, hi, width int
	p             int // the first parameter
	at            int // index of the first mask byte
}

// rowPiece is a number of elements at whose multiples a row may be cut: whole vectors,
// and whole bytes of a mask.
const rowPiece = 64

// each calls fn in parallel for stretches of at most elemChunk elements (or one row, if
// that is longer than parts of a row can be).
func (r rows) each(fn func(s stretch)) {
	if r.width == 0 || r.count == 0 {
		return
	}
	bytes := (r.width + 7) / 8
	if r.count == 1 {
		inChunks(r.width, func(lo, hi int) {
			p := 0
			if r.each1 {
				p = lo
			}
			fn(stretch{lo: lo, hi: hi, width: hi - lo, p: p, at: lo / 8})
		})
		return
	}
	if r.width > elemChunk {
		parts := (r.width-1)/elemChunk + 1
		par.For(r.count*parts, 1, func(from, to int) {
			for u := from; u < to; u++ {
				row, off := u/parts, u%parts*elemChunk
				lo, n := row*r.width+off, min(elemChunk, r.width-off)
				p := row % r.c
				if r.each1 {
					p = off
				}
				fn(stretch{lo: lo, hi: lo + n, width: n, p: p, at: row*bytes + off/8})
			}
		})
		return
	}
	par.For(r.count, elemChunk/r.width, func(from, to int) {
		for row := from; row < to; {
			n := min(to-row, r.c-row%r.c)
			fn(stretch{lo: row * r.width, hi: (row + n) * r.width, width: r.width, p: row % r.c, at: row * bytes})
			row += n
		}
	})
}

// params returns the parameters of a stretch: one for each row, or for each element.
func (r rows) params(k []float32, s stretch) []float32 {
	if k == nil {
		return nil
	}
	if r.each1 {
		return k[s.p:][:s.width]
	}
	return k[s.p:][:(s.hi-s.lo)/s.width]
}

// bits returns the mask bytes of a stretch.
func (s stretch) bits(mask []uint8) []uint8 {
	if mask == nil {
		return nil
	}
	return mask[s.at:][:(s.hi-s.lo)/s.width*((s.width+7)/8)]
}

// planes says where some planes of one channel lie.
type planes struct {
	at, width     int // the first one's first element, and elements in each
	count, stride int // number, and elements from one to the next
	bit, bits     int // the first one's first mask byte, and bytes from one to the next
}

// channelSums calls add for planes of at most elemChunk elements together, image by
// image for each channel of each chunk of imageChunk images, with the lanes and the number of
// that pair, and then done with both sums of each channel over the chunks, in order. Chunks
// and parts of the
// channels run in parallel; a goroutine gets the images that it has in other loops, too.
// Small planes come channel by channel, several in one call; large ones as they lie in
// memory.
func channelSums(n, c, inner int, add func(l *lanes, pair int, p planes), done func(sums []float64)) {
	chunks := ceilDiv(n, imageChunk)
	sums := borrow[float64](max(1, chunks) * 2 * c)
	defer giveBack(sums)
	parts := min(c, ceilDiv(2*runtime.GOMAXPROCS(0), max(1, chunks)))
	grain := max(1, elemChunk*parts/max(1, imageChunk*c*inner))
	par.For(chunks*parts, grain, func(lo, hi int) {
		buf := borrow[lanes](ceilDiv(c, parts))
		defer giveBack(buf)
		for u := lo; u < hi; u++ {
			chunk, part := u/parts, u%parts
			q := channelPart{chunk * imageChunk, min((chunk+1)*imageChunk, n), part * c / parts, (part + 1) * c / parts}
			l := (*buf)[:q.to-q.from]
			clear(l)
			q.add(l, chunk*c, c, inner, add)
			laneTotals((*sums)[2*(chunk*c+q.from):][:2*len(l)], l)
		}
	})
	total := (*sums)[:2*c]
	if chunks == 0 {
		clear(total)
	}
	for chunk := 1; chunk < chunks; chunk++ {
		addSums(total, (*sums)[chunk*2*c:])
	}
	done(total)
}

// channelPart is some images and channels.
type channelPart struct{ first, end, from, to int }

// add calls fn for the planes of the part; pair is the number of channel 0.
func (q channelPart) add(l []lanes, pair, c, inner int, fn func(l *lanes, pair int, p planes)) {
	bytes := (inner + 7) / 8
	per := 1
	if inner < smallPlane {
		per = elemChunk / smallPlane
	}
	for i := q.first; i < q.end; i += per {
		for ch := q.from; ch < q.to; ch++ {
			row := i*c + ch
			p := planes{at: row * inner, width: inner, count: min(per, q.end-i), stride: c * inner, bit: row * bytes, bits: c * bytes}
			if per == 1 {
				p.stride = inner // of no meaning but for what is read ahead
			}
			for off := 0; off < inner; off += elemChunk {
				part := p
				part.at, part.bit, part.width = p.at+off, p.bit+off/8, min(elemChunk, inner-off)
				fn(&l[ch-q.from], pair+ch, part)
			}
		}
	}
}

// smallPlane is the number of elements from which a plane is worth a call.
const smallPlane = 256

// lanes are the running sums of one channel in one chunk of images: element i of a plane
// is added to lane i%16.
type lanes struct{ a, b [16]float64 }

func (l *lanes) totals() (a, b float64) { return laneTotal(&l.a), laneTotal(&l.b) }

// laneTotals writes both totals of each.
func laneTotals(sums []float64, l []lanes) {
	if laneTotalsFast(sums, l) {
		return
	}
	for i := range l {
		sums[2*i], sums[2*i+1] = l[i].totals()
	}
}

// laneTotal adds sixteen lanes: l[i] + l[i+8] for i < 8, of these r[i] + r[i+4], then
// (r[0] + r[2]) + (r[1] + r[3]).
func laneTotal(l *[16]float64) float64 {
	var r [4]float64
	for i := range r {
		r[i] = (l[i] + l[i+8]) + (l[i+4] + l[i+12])
	}
	return (r[0] + r[2]) + (r[1] + r[3])
}

// AddTo64 adds x to sums, element by element: sums[i] += float64(x[i]). Both have
// the same length.
func AddTo64[F Float](sums []float64, x []F) {
	sums = sums[:len(x)]
	done := 0
	if s, ok := any(x).([]float32); ok {
		done = addTo64Fast(sums, s)
	}
	for i := done; i < len(x); i++ {
		sums[i] += float64(x[i])
	}
}

// LaneSum is Σ x in the order of [ChannelStats] for one plane.
func LaneSum[F Float](x []F) float64 {
	var l lanes
	for len(x) > 0 {
		n := min(len(x), elemChunk)
		laneAdd(&l, x, planes{width: n, count: 1})
		x = x[n:]
	}
	return laneTotal(&l.a)
}

// laneAdd adds planes to lanes a.
func laneAdd[F Float](l *lanes, x []F, p planes) {
	if s, ok := any(x).([]float32); ok {
		maskedAdd(l, s, nil, nil, p)
		return
	}
	for k := range p.count {
		for i, v := range x[p.at+k*p.stride:][:p.width] {
			l.a[i%16] += float64(v)
		}
	}
}
