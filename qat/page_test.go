package qat

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"github.com/goqat/goqat/qat/report/page"
	"gorgonia.org/gorgonia"
)

// demoReport is a report with all that a page can show.
func demoReport(t *testing.T) report.Report {
	t.Helper()
	g := gorgonia.NewGraph()
	h := maxPool(relu(conv("c1", leaf(g, "x", 2, 1, 4, 4), 2, 3)))
	cfg := qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}, Oscillation: qconfig.Oscillation{Track: qconfig.Yes}}, Names: map[string]*qconfig.Layer{"c2": nil}}
	n := prepare(t, cfg, g, conv("c2", h, 2, 1))
	n.m.Record(1)
	m := n.machine()
	for i := range 3 {
		n.step(m, i)
	}
	r, err := n.m.Report(n.batch(0, 3)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var demoAccuracy = []page.Accuracy{{Name: "float", Accuracy: 0.9722}, {Name: "PTQ", Accuracy: 0.9}, {Name: "QAT", Accuracy: 0.9722, Note: "three epochs"}, {Name: "frozen", Accuracy: 0.98}}

func html(t *testing.T, r report.Report, opt page.Options) string {
	t.Helper()
	var b strings.Builder
	if err := page.Write(&b, r, opt); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// parse reads a page as strict XML, which goqat's pages are, and returns how often each
// element occurs, all text, and all attributes.
func parse(t *testing.T, page string) (elements map[string]int, text string, attrs []xml.Attr) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	elements = map[string]int{}
	var b strings.Builder
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements, b.String(), attrs
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			elements[tok.Name.Local]++
			attrs = append(attrs, tok.Attr...)
		case xml.CharData:
			b.Write(tok)
		}
	}
}

// textOf is a text without markup and with single spaces.
func textOf(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestHTML(t *testing.T) {
	r := demoReport(t)
	page := html(t, r, page.Options{Title: "Report of c", Subtitle: "a small network", Accuracy: demoAccuracy})
	elements, text, attrs := parse(t, page)
	// Ranges: x, c1's result, c1's weights. Histograms: the same.
	if elements["svg"] != 6 || elements["figure"] != 6 || elements["script"] != 1 || elements["h1"] != 1 {
		t.Errorf("elements: %v", elements)
	}
	if rows := len(r.Rows); elements["tr"] != 1+rows+2+len(demoAccuracy)+3 {
		t.Errorf("%d rows, want the table's head and %d, 2 sizes, 4 accuracies, 3 SQNR bars", elements["tr"], rows)
	}
	// Bytes: 18 weights of 4 bits and 2 scales with zero points, and 4 weights left float.
	for _, want := range []string{"Report of c", "a small network", "three epochs", "97.22", "−7.22", "±0.00", "+0.78",
		"int4 symmetric per_channel(axis 0) narrow", "left float by the config", "shares the quantizer of relu_0.out", "0 weights oscillate, 0 frozen",
		"88 B", "35 B", "float32: 88 B, 2.5× smaller"} {
		if !strings.Contains(textOf(text), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	labels, ids := 0, map[string]int{}
	for _, a := range attrs {
		switch a.Name.Local {
		case "aria-label":
			labels++
		case "id":
			ids[a.Value]++
		case "aria-labelledby":
			if !strings.Contains(page, `id="`+a.Value+`"`) {
				t.Errorf("nothing has the id %q", a.Value)
			}
		}
	}
	if labels != 7 {
		t.Errorf("%d labels, want the summary's and one for each picture", labels)
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("%d elements have the id %q", n, id)
		}
	}
}

// Nothing comes from outside, and plots use the page's colours and font.
func TestHTMLSelfContained(t *testing.T) {
	page := html(t, demoReport(t), page.Options{Accuracy: demoAccuracy})
	for _, pattern := range []string{`//`, `(?i)\b(src|href|srcset|data|action|poster)\s*=`, `url\(`, `@import`, `(?i)fetch|XMLHttpRequest|import\(`,
		`(?i)<(link|iframe|object|embed|img|base|form)`, `#0101`, `font-family:Lib`, `#000000`} {
		if hit := regexp.MustCompile(pattern).FindString(page); hit != "" {
			t.Errorf("the page holds %q", hit)
		}
	}
	for _, want := range []string{"var(--weight-soft)", "var(--activation-soft)", "var(--clip)", "prefers-color-scheme: dark", "Content-Security-Policy"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, name := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, "--"+name[1]+": ") {
			t.Fatalf("no colour is called %s", name[1])
		}
	}
}

func TestHTMLDeterministic(t *testing.T) {
	a, b := html(t, demoReport(t), page.Options{}), html(t, demoReport(t), page.Options{})
	if a != b {
		t.Error("equal reports gave different pages")
	}
	if !strings.Contains(a, "<h1>Quantization report</h1>") {
		t.Error("no title by default")
	}
}

// Names cannot break out, wherever they stand.
func TestHTMLEscapes(t *testing.T) {
	for _, name := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg onload=alert(1)>`, `</title></style></script><b>`,
		`javascript:alert(1)`, `{{.Title}}`, `&lt;&amp;`, `]]>`, `<!--`, "a\nb\tc", `"; background: url(x)`, strings.Repeat("W", 300), "",
	} {
		r := demoReport(t)
		for i := range r.Rows {
			x := &r.Rows[i]
			x.Layer, x.Kind, x.Spec = name, name, name
			if x.Why != "" {
				x.Why = name
			}
		}
		for i := range r.Ranges {
			r.Ranges[i].Quantizer = name
		}
		opt := page.Options{Title: name + "!", Subtitle: name, Accuracy: []page.Accuracy{{Name: name, Note: name}}}
		page := html(t, r, opt)
		elements, text, attrs := parse(t, page)
		if elements["script"] != 1 || elements["img"] != 0 || elements["b"] != 6 || elements["svg"] != 6 {
			t.Errorf("%q: elements %v", name, elements)
		}
		if n := strings.Count(textOf(text), textOf(name)); n < 10 {
			t.Errorf("%q occurs %d times only", name, n)
		}
		for _, a := range attrs {
			if strings.HasPrefix(a.Name.Local, "on") {
				t.Errorf("%q: attribute %v", name, a)
			}
		}
	}
}

// TestHTMLOddReports: nothing measured, nothing finite, numbers at the ends of float32.
func TestHTMLOddReports(t *testing.T) {
	inf := report.Number(math.Inf(1))
	big := report.Number(math.MaxFloat32)
	line := func(v ...report.Number) report.Range {
		return report.Range{Quantizer: "q", Tensor: "weight", Steps: []int{1, 2, 3}[:len(v)], Min: v, Max: v, Low: v, High: v, Scale: v}
	}
	hist := func(counts []int, below, above int, scale float32) report.Row {
		return report.Row{Layer: "l", Tensor: "weight", Scales: []float32{scale}, ZeroPoints: []int32{0}, SQNR: -inf,
			Histogram: &report.Histogram{Qmin: -2, Qmax: 1, Counts: counts, Below: below, Above: above}}
	}
	for name, tc := range map[string]struct {
		r       report.Report
		figures int
	}{
		"empty":     {report.Report{}, 0},
		"no ranges": {report.Report{Ranges: []report.Range{line(), line(report.Number(math.NaN())), line(report.Number(math.NaN()), inf)}}, 0},
		"one point": {report.Report{Ranges: []report.Range{line(1)}}, 1},
		"flat":      {report.Report{Ranges: []report.Range{line(0, 0, 0), line(big, big)}}, 2},
		"gaps":      {report.Report{Ranges: []report.Range{line(report.Number(math.NaN()), 1, report.Number(math.NaN())), line(-big, 0, big)}}, 2},
		"short":     {report.Report{Ranges: []report.Range{{Quantizer: "q", Steps: []int{1, 2}, Low: []report.Number{1}, High: []report.Number{2}}}}, 1},
		"histogram": {report.Report{Rows: []report.Row{hist([]int{0, 0, 0, 0}, 0, 0, 1), hist([]int{1 << 40, 0, 3, 0}, 5, 1<<50, 1e-38), hist([]int{1, 0, 0, 0}, 0, 0, math.MaxFloat32)}}, 3},
		"rows":      {report.Report{Rows: []report.Row{{SQNR: inf, RMSE: report.Number(math.NaN()), Min: -inf, Max: inf}, {}}, Bytes: 1 << 50}, 0},
	} {
		if elements, _, _ := parse(t, html(t, tc.r, page.Options{})); elements["figure"] != tc.figures {
			t.Errorf("%s: %d figures, want %d", name, elements["figure"], tc.figures)
		}
	}
}

type brokenWriter struct{}

var errDisk = errors.New("disk full")

func (brokenWriter) Write([]byte) (int, error) { return 0, errDisk }

func TestHTMLErrors(t *testing.T) {
	if err := page.Write(brokenWriter{}, report.Report{}, page.Options{}); !errors.Is(err, errDisk) {
		t.Errorf("%v, want that of the writer", err)
	}
	for _, v := range []float64{-0.1, 1.01, 97.2, math.NaN()} {
		var b strings.Builder
		err := page.Write(&b, report.Report{}, page.Options{Accuracy: []page.Accuracy{{Name: "QAT", Accuracy: v}}})
		if err == nil || !strings.Contains(err.Error(), `accuracy of "QAT"`) || b.Len() > 0 {
			t.Errorf("%v: %v, %d bytes", v, err, b.Len())
		}
	}
}
