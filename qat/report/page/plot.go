package page

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"strconv"

	"github.com/goqat/goqat/internal/words"
	"github.com/goqat/goqat/qat/report"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"

	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is a plot with its words.
type figure struct {
	Name, Tensor, Note string
	SVG                template.HTML // made here, holds no text of the user's
}

// The size of a plot in its own units; the page scales it.
const (
	plotWidth  = 360
	plotHeight = 168
)

// inks are colours that stand for the page's CSS variables, so that plots follow the
// light or dark setting: number i is drawn as #0101 and i in hex.
var inks = [...]string{"", "ink", "muted", "line", "weight", "weight-soft", "activation", "activation-soft", "clip"}

const (
	inkMuted = iota + 2
	inkLine
	inkWeight
	inkWeightSoft
	inkActivation
	inkActivationSoft
	inkClip
)

func ink(i int) color.Color { return color.NRGBA{1, 1, uint8(i), 255} }

// tensorInks are the strong and the soft colour of a kind of tensor.
func tensorInks(tensor string) (strong, soft color.Color) {
	if tensor == "weight" {
		return ink(inkWeight), ink(inkWeightSoft)
	}
	return ink(inkActivation), ink(inkActivationSoft)
}

// newPlot makes an empty plot in the page's style.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.LineStyle.Width = ink(inkLine), 1
		a.Tick.LineStyle.Color, a.Tick.LineStyle.Width = ink(inkLine), 1
		a.Tick.Label.Color = ink(inkMuted)
		a.Tick.Label.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 11}
		a.Tick.Length, a.Padding = 4, 0
	}
	return p
}

// What turns the library's SVG into ours: CSS variables in place of inks, the page's
// font (Arial and Liberation Sans have the same widths) in place of its own.
var (
	inkPattern  = regexp.MustCompile(`#0101([0-9A-F]{2})`)
	fontPattern = regexp.MustCompile(`font-family:[^"]*?;font-size`)
)

// svg draws p. label is what a screen reader says; it may hold any text.
func svg(p *plot.Plot, label string) (text template.HTML, err error) {
	defer func() { // the library panics on what it cannot draw
		if r := recover(); r != nil {
			err = fmt.Errorf("plot %s: %v", words.Quote(label), r)
		}
	}()
	c := vgsvg.New(plotWidth, plotHeight)
	p.Draw(vgdraw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", fmt.Errorf("plot %s: %w", words.Quote(label), err)
	}
	body := b.Bytes()
	from, to := bytes.Index(body, []byte("<g")), bytes.LastIndex(body, []byte("</svg>"))
	if from < 0 || to < from {
		return "", fmt.Errorf("plot %s: the library's SVG has another form than expected", words.Quote(label))
	}
	body = inkPattern.ReplaceAllFunc(body[from:to], func(m []byte) []byte {
		i, err := strconv.ParseUint(string(m[5:]), 16, 8)
		if err != nil || int(i) >= len(inks) {
			return m
		}
		return []byte("var(--" + inks[i] + ")")
	})
	body = fontPattern.ReplaceAll(body, []byte("font-size"))
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>`,
		plotWidth, plotHeight, template.HTMLEscapeString(label), body)), nil
}

// rangeFigures draws the recorded histories.
func rangeFigures(r report.Report) ([]figure, error) {
	var fs []figure
	for _, h := range r.Ranges {
		f, err := rangeFigure(h)
		if err != nil {
			return nil, err
		}
		if f != nil {
			fs = append(fs, *f)
		}
	}
	return fs, nil
}

// rangeFigure draws a history: the band of what codes can show, and the observed range in
// it. It is nil before any data.
func rangeFigure(h report.Range) (*figure, error) {
	strong, soft := tensorInks(h.Tensor)
	low, high := points(h, h.Low), points(h, h.High)
	if len(low) == 0 || len(low) != len(high) {
		return nil, nil
	}
	p := newPlot()
	band := append(plotter.XYs{}, low...)
	for i := len(high) - 1; i >= 0; i-- {
		band = append(band, high[i])
	}
	area, err := plotter.NewPolygon(band)
	if err != nil {
		return nil, err
	}
	area.Color, area.LineStyle.Width = soft, 0
	p.Add(area)
	for _, v := range [][]report.Number{h.Min, h.Max} {
		pts := points(h, v)
		if len(pts) == 0 {
			continue
		}
		l, err := plotter.NewLine(pts)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = strong, 1.5
		p.Add(l)
	}
	from, to := low[0].X, low[len(low)-1].X
	p.X.Min, p.X.Max = from, max(to, from+1)
	pad(&p.Y)
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{n: 4, whole: true}, ticks{n: 4}
	f := &figure{Name: h.Quantizer, Tensor: h.Tensor}
	f.Note = fmt.Sprintf("scale %s, range %s … %s", latest(h.Scale).Text("%.4g"), latest(h.Min).Text("%.4g"), latest(h.Max).Text("%.4g"))
	f.SVG, err = svg(p, fmt.Sprintf("Range of %s over steps %.0f to %.0f, at the end %s", h.Quantizer, from, to, f.Note))
	return f, err
}

// latest is the last of the recorded numbers, NaN of none.
func latest(v []report.Number) report.Number {
	if len(v) == 0 {
		return report.Number(math.NaN())
	}
	return v[len(v)-1]
}

// maxDrawn bounds the points of a drawn line: there are no more pixels.
const maxDrawn = 160

// points pairs steps with finite values, and leaves out what nobody would see.
func points(h report.Range, v []report.Number) plotter.XYs {
	var pts plotter.XYs
	every := (len(v) + maxDrawn - 1) / maxDrawn
	for i, y := range v {
		if i < len(h.Steps) && finite(y) && (i%every == 0 || i == len(v)-1) {
			pts = append(pts, plotter.XY{X: float64(h.Steps[i]), Y: float64(y)})
		}
	}
	return pts
}

// pad gives an axis some air, and a flat one a height.
func pad(a *plot.Axis) {
	air := 0.06 * (a.Max - a.Min)
	if !(air > 0) {
		air = max(math.Abs(a.Max), 1e-6)
	}
	a.Min, a.Max = a.Min-air, a.Max+air
}

// ticks marks about n round numbers; label turns them into texts.
type ticks struct {
	n     int
	whole bool // only whole numbers
}

func (t ticks) Ticks(lo, hi float64) []plot.Tick {
	step := niceStep((hi - lo) / float64(t.n))
	if t.whole {
		step = max(step, 1)
	}
	var out []plot.Tick
	for k := math.Ceil(lo / step); k*step <= hi; k++ {
		v := k * step
		out = append(out, plot.Tick{Value: v, Label: number(v)})
	}
	return out
}

// number shows a round number shortly, with a true minus sign.
func number(v float64) string {
	s := strconv.FormatFloat(math.Abs(v), 'g', 4, 64)
	switch a := math.Abs(v); {
	case a >= 1e4 && a < 1e6:
		s = strconv.FormatFloat(a/1e3, 'g', 4, 64) + "k"
	case a >= 1e6 && a < 1e9:
		s = strconv.FormatFloat(a/1e6, 'g', 4, 64) + "M"
	}
	if v < 0 {
		return "−" + s
	}
	return s
}

// niceStep is the smallest of 1, 2, 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= v {
			return f * power
		}
	}
	return 10 * power
}

func finite(n report.Number) bool { return n-n == 0 }
