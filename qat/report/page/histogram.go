package page

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"github.com/goqat/goqat/qat/report"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	vgdraw "gonum.org/v1/plot/vg/draw"
)

// histogramFigures draws the histograms of all rows that do not share a quantizer.
func histogramFigures(r report.Report) ([]figure, error) {
	var fs []figure
	for _, x := range r.Rows {
		if x.Histogram == nil || x.SharedWith != "" || len(x.Scales) == 0 {
			continue
		}
		f, err := histogramFigure(x)
		if err != nil {
			return nil, err
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// edgeShare is how much of the grid's width is left beside it for what is clipped.
const edgeShare = 0.06

// histogramFigure draws a row's histogram on its grid. The horizontal unit is one code;
// where there is only one scale it is labelled with the values that codes stand for.
func histogramFigure(x report.Row) (figure, error) {
	h := x.Histogram
	strong, soft := tensorInks(x.Tensor)
	from, to := float64(h.Qmin)-0.5, float64(h.Qmax)+0.5
	edge := edgeShare * (to - from)
	p := newPlot()
	step := gridStep(h)
	p.Add(gridLines{at: gridAt(h, step), color: ink(inkLine), width: 0.75})
	outline, err := plotter.NewPolygon(outlineOf(h, from, to))
	if err != nil {
		return figure{}, err
	}
	outline.Color, outline.LineStyle.Color, outline.LineStyle.Width = soft, strong, 1
	p.Add(outline)
	for _, side := range []struct {
		count    int
		from, to float64
	}{{h.Below, from - edge, from - edge/3}, {h.Above, to + edge/3, to + edge}} {
		if side.count == 0 {
			continue
		}
		y := logCount(side.count)
		b, err := plotter.NewPolygon(plotter.XYs{{X: side.from}, {X: side.from, Y: y}, {X: side.to, Y: y}, {X: side.to}})
		if err != nil {
			return figure{}, err
		}
		b.Color, b.LineStyle.Width = ink(inkClip), 0
		p.Add(b)
	}
	p.Add(gridLines{at: []float64{float64(h.Qmin), float64(h.Qmax)}, color: ink(inkClip), width: 1, dashes: []vg.Length{3, 3}})
	p.X.Min, p.X.Max = from-edge, to+edge
	p.Y.Min = 0
	p.Y.Max = 1.05 * max(logCount(slices.Max(h.Counts)), logCount(max(h.Below, h.Above)), 0.4)
	p.X.Tick.Marker, p.Y.Tick.Marker = codeTicks(x), countTicks{}
	f := figure{Name: x.Layer, Tensor: x.Tensor, Note: histogramNote(x, step)}
	f.SVG, err = svg(p, fmt.Sprintf("Histogram of the %s of %s on its grid: %s", x.Tensor, x.Layer, f.Note))
	return f, err
}

// histogramNote says what the picture shows.
func histogramNote(x report.Row, step int) string {
	unit := "axis: value"
	if len(x.Scales) > 1 {
		unit = "axis: code"
	}
	lines := "every grid point"
	if step > 1 {
		lines = fmt.Sprintf("every %d%s grid point", step, ordinal(step))
	}
	text := fmt.Sprintf("%s; lines: %s", unit, lines)
	if n := x.Histogram.Below + x.Histogram.Above; n > 0 {
		text += fmt.Sprintf("; %d clipped (%s %%)", n, x.Clipped.Percent())
	}
	return text
}

func ordinal(n int) string {
	if n == 2 {
		return "nd"
	}
	return "th" // powers of two
}

// maxGridLines is how many lines of a grid a plot can hold.
const maxGridLines = 33

// gridStep is the power of two of which the drawn codes are multiples.
func gridStep(h *report.Histogram) int {
	step := 1
	for int(h.Qmax-h.Qmin)/step >= maxGridLines {
		step *= 2
	}
	return step
}

func gridAt(h *report.Histogram, step int) []float64 {
	var at []float64
	for c := int(h.Qmin); c <= int(h.Qmax); c++ {
		if c%step == 0 {
			at = append(at, float64(c))
		}
	}
	return at
}

// outlineOf is the upper edge of the bars, closed along the bottom.
func outlineOf(h *report.Histogram, from, to float64) plotter.XYs {
	width := (to - from) / float64(len(h.Counts))
	pts := plotter.XYs{{X: from}}
	for i, n := range h.Counts {
		y := logCount(n)
		if last := pts[len(pts)-1].Y; i > 0 && y == last {
			continue
		}
		left := from + float64(i)*width
		if i > 0 {
			pts = append(pts, plotter.XY{X: left, Y: pts[len(pts)-1].Y})
		}
		pts = append(pts, plotter.XY{X: left, Y: y})
	}
	return append(pts, plotter.XY{X: to, Y: pts[len(pts)-1].Y}, plotter.XY{X: to})
}

// logCount is the height of a bar: single elements, which tell outliers, stay visible
// beside thousands.
func logCount(n int) float64 { return math.Log10(1 + float64(n)) }

// countTicks labels heights with counts: powers of ten, or 1, 2, 5, 10 and so on where
// few are wanted, as far apart as texts need.
type countTicks struct{}

func (countTicks) Ticks(_, hi float64) []plot.Tick {
	factors, gap := []int{1, 2, 5}, 0.16*hi
	if hi > 2 {
		factors = factors[:1]
	}
	out := []plot.Tick{{Value: 0, Label: "0"}}
	for power := 1; logCount(power) <= hi; power *= 10 {
		for _, f := range factors {
			at := logCount(f * power)
			if at <= hi && at-out[len(out)-1].Value >= gap {
				out = append(out, plot.Tick{Value: at, Label: number(float64(f * power))})
			}
		}
	}
	return out
}

// codeTicks marks the horizontal axis: values where there is one scale, steps else.
func codeTicks(x report.Row) plot.Ticker {
	if len(x.Scales) == 1 {
		return valueTicks{float64(x.Scales[0]), float64(x.ZeroPoints[0])}
	}
	return ticks{n: 6, whole: true}
}

// valueTicks are round values at the codes that stand for them.
type valueTicks struct{ scale, zero float64 }

func (t valueTicks) Ticks(lo, hi float64) []plot.Tick {
	out := ticks{n: 6}.Ticks((lo-t.zero)*t.scale, (hi-t.zero)*t.scale)
	for i := range out {
		out[i].Value = out[i].Value/t.scale + t.zero
	}
	return out
}

// gridLines are vertical lines over the whole height of a plot.
type gridLines struct {
	at     []float64
	color  color.Color
	width  vg.Length
	dashes []vg.Length
}

// Plot draws them; it is gonum's plot.Plotter.
func (g gridLines) Plot(c vgdraw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	var path vg.Path // one for all lines keeps the page small
	for _, at := range g.at {
		path.Move(vg.Point{X: x(at), Y: c.Min.Y})
		path.Line(vg.Point{X: x(at), Y: c.Max.Y})
	}
	c.SetLineWidth(g.width)
	c.SetLineDash(g.dashes, 0)
	c.SetColor(g.color)
	c.Stroke(path)
}
