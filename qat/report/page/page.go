// Package page draws a report as one HTML page. It is apart from package report so that
// only programs that draw are linked with a plotting library.
package page

import (
	"bytes"

	"github.com/goqat/goqat/internal/words"
	"github.com/goqat/goqat/qat/report"

	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
)

// Options are the settings of [Write]. The zero value is fine.
type Options struct {
	// Title is the heading, "Quantization report" by default.
	Title string
	// Subtitle stands below it: the network, the data, the date. Empty for none.
	Subtitle string
	// Accuracy holds the rows of the accuracy table, such as float, after post-training
	// quantization, after training, frozen. The first one is what the others are
	// compared with. Without rows there is no table.
	Accuracy []Accuracy
}

// Accuracy is one line of the accuracy table.
type Accuracy struct {
	Name string
	// Accuracy is a share, 0 to 1.
	Accuracy float64
	// Note is a few words, may be empty.
	Note string
}

//go:embed page.gohtml
var pageText string

var pageTemplate = template.Must(template.New("report").Parse(pageText))

// Write writes the report as one page that needs nothing else: no script, font or
// picture from outside. It shows sizes, accuracy, all rows, SQNR bars, the recorded
// ranges (see qat.Model.Record) and histograms on the quantization grid, and follows
// the reader's light or dark setting. Equal reports give equal bytes. It fails where
// w does, or where an accuracy is no share.
func Write(w io.Writer, r report.Report, opt Options) error {
	p, err := pageOf(r, opt)
	if err != nil {
		return fmt.Errorf("qat: report: %w", err)
	}
	var b bytes.Buffer // so that a failure leaves no half page
	if err := pageTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("qat: report: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("qat: report: %w", err)
	}
	return nil
}

// page is what the template shows; all numbers are texts already.
type page struct {
	Title, Subtitle string
	Tiles           []tile
	Sizes           []bar
	Accuracy        []accuracyLine
	Rows            []line
	Weights         []bar // SQNR
	Activations     []bar
	Ranges          []figure
	Histograms      []figure
}

// tile is one number of the summary.
type tile struct{ Label, Value, Note string }

// bar is a bar with its text; Width is a percentage.
type bar struct{ Name, Text, Width string }

type accuracyLine struct {
	bar
	Delta, Note string
}

// line is one row of the table: texts, and numbers to sort by.
type line struct {
	Layer, Kind, Tensor, Format, Range, Scale, Zero, SQNR, RMSE, Saturated, Clipped, Dead, Elements, Before, After, Note string
	SortSQNR, SortRMSE, SortSaturated, SortClipped, SortMax, SortScale                                                   string
}

func pageOf(r report.Report, opt Options) (page, error) {
	p := page{Title: opt.Title, Subtitle: opt.Subtitle}
	if p.Title == "" {
		p.Title = "Quantization report"
	}
	var err error
	if p.Accuracy, err = accuracyLines(opt.Accuracy); err != nil {
		return page{}, err
	}
	p.Tiles, p.Sizes = tiles(r), sizeBars(r)
	p.Weights, p.Activations = sqnrBars(r, "weight"), sqnrBars(r, "activation")
	for _, x := range r.Rows {
		p.Rows = append(p.Rows, lineOf(x))
	}
	if p.Ranges, err = rangeFigures(r); err != nil {
		return page{}, err
	}
	p.Histograms, err = histogramFigures(r)
	return p, err
}

func accuracyLines(rows []Accuracy) ([]accuracyLine, error) {
	var out []accuracyLine
	for i, a := range rows {
		if !(a.Accuracy >= 0 && a.Accuracy <= 1) {
			return nil, fmt.Errorf("accuracy of %s is %v: want a share from 0 to 1", words.Quote(a.Name), a.Accuracy)
		}
		l := accuracyLine{bar: bar{a.Name, fmt.Sprintf("%.2f", 100*a.Accuracy), width(a.Accuracy)}, Note: a.Note}
		if i > 0 {
			l.Delta = signed(fmt.Sprintf("%+.2f", 100*(a.Accuracy-rows[0].Accuracy)))
		}
		out = append(out, l)
	}
	return out, nil
}

// signed writes a minus sign in place of the hyphen, and no sign before a zero.
func signed(s string) string {
	if v, err := strconv.ParseFloat(s, 64); err == nil && v == 0 {
		return "±" + s[1:]
	}
	if s[0] == '-' {
		return "−" + s[1:]
	}
	return s
}

// width is a share as a percentage for CSS.
func width(share float64) string { return strconv.FormatFloat(100*share, 'f', 2, 64) }

// tiles sums the report up.
func tiles(r report.Report) []tile {
	quantized, dead, oscillating, frozen, followed := 0, 0, 0, 0, false
	worst := -1
	for i, x := range r.Rows {
		if len(x.Scales) > 0 {
			quantized++
		}
		dead += x.Dead
		if o := x.Oscillation; o != nil && o.Why == "" {
			followed = true
			oscillating += o.Oscillating
			frozen += o.Frozen
		}
		if finite(x.SQNR) && (worst < 0 || x.SQNR < r.Rows[worst].SQNR) {
			worst = i
		}
	}
	ts := []tile{
		{"Parameters", bytesText(r.Bytes), "float32: " + bytesText(r.FloatBytes)},
		{"Quantized tensors", fmt.Sprintf("%d of %d", quantized, len(r.Rows)), "the others are float"},
	}
	if r.Bytes > 0 {
		ts[0].Note += fmt.Sprintf(", %.1f× smaller", float64(r.FloatBytes)/float64(r.Bytes))
	}
	if quantized == len(r.Rows) {
		ts[1].Note = "nothing is left float"
	}
	if worst >= 0 {
		x := r.Rows[worst]
		ts = append(ts, tile{"Lowest SQNR", x.SQNR.Text("%.1f") + " dB", x.Layer + ", " + x.Tensor})
	}
	ts = append(ts, tile{"Dead channels", strconv.Itoa(dead), "channels without information"})
	if followed {
		ts = append(ts, tile{"Oscillating weights", strconv.Itoa(oscillating), fmt.Sprintf("%d frozen", frozen)})
	}
	return ts
}

// sizeBars compares the parameters before and after.
func sizeBars(r report.Report) []bar {
	most := max(r.Bytes, r.FloatBytes)
	if most == 0 {
		return nil
	}
	of := func(name string, n int) bar { return bar{name, bytesText(n), width(float64(n) / float64(most))} }
	return []bar{of("float32", r.FloatBytes), of("quantized", r.Bytes)}
}

// bytesText shows a size with three digits or so.
func bytesText(n int) string {
	v, unit := float64(n), 0
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	if unit == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[unit])
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}

// sqnrBars are the signal-to-noise ratios of one kind of tensor, in network order.
// Tensors that share another's quantizer are left out.
func sqnrBars(r report.Report, tensor string) []bar {
	most := 0.0
	for _, x := range r.Rows {
		if finite(x.SQNR) {
			most = max(most, float64(x.SQNR))
		}
	}
	var bs []bar
	for _, x := range r.Rows {
		v := float64(x.SQNR)
		switch {
		case x.Tensor != tensor || x.SharedWith != "" || math.IsNaN(v):
		case math.IsInf(v, 1):
			bs = append(bs, bar{x.Layer, "exact", "100"})
		case most > 0:
			bs = append(bs, bar{x.Layer, x.SQNR.Text("%.1f"), width(max(v, 0) / most)})
		default:
			bs = append(bs, bar{x.Layer, x.SQNR.Text("%.1f"), "0"})
		}
	}
	return bs
}

// lineOf is a row of the table.
func lineOf(x report.Row) line {
	l := line{
		Layer: x.Layer, Kind: x.Kind, Tensor: x.Tensor, Format: x.Spec, Range: x.RangeText(),
		Scale: report.Spread(x.Scales, "%.4g"), Zero: report.Spread(x.ZeroPoints, "%d"),
		SQNR: x.SQNR.Text("%.1f"), RMSE: x.RMSE.Text("%.2g"), Saturated: x.Saturated.Percent(), Clipped: x.Clipped.Percent(),
		Dead: x.DeadText(), Elements: strconv.Itoa(x.Elements), Note: x.Note(),
		SortSQNR: sortKey(x.SQNR), SortRMSE: sortKey(x.RMSE), SortSaturated: sortKey(x.Saturated), SortClipped: sortKey(x.Clipped), SortMax: sortKey(x.Max),
	}
	if math.IsInf(float64(x.SQNR), 1) {
		l.SQNR = "exact"
	}
	if len(x.Scales) > 0 {
		l.SortScale = fmt.Sprint(x.Scales[0])
	}
	if x.BytesBefore > 0 {
		l.Before, l.After = strconv.Itoa(x.BytesBefore), strconv.Itoa(x.BytesAfter)
	}
	return l
}

// sortKey is a number that scripts can read; empty for what is not finite.
func sortKey(n report.Number) string {
	if !finite(n) {
		return ""
	}
	return strconv.FormatFloat(float64(n), 'g', -1, 64)
}
