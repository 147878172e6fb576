package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/goqat/goqat/qat/frozen"
)

// table prints the means over the seeds. Recovery is the share of what quantization
// cost that fine-tuning won back, (QAT-PTQ)/(float-PTQ).
func (r *result) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "format\tfloat %\tPTQ %\tQAT %\tfrozen %\trecovery\tbytes\tfloat bytes\tcodes checked\tdiffering\t")
	for _, x := range r.Rows {
		fl, ptq, qat := mean(x.Float), mean(x.PTQ), mean(x.QAT)
		recovery := "-"
		if fl-ptq > oneDigit {
			recovery = fmt.Sprintf("%.0f %%", 100*(qat-ptq)/(fl-ptq))
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t%d\t%d\t%d\t%d\t\n", x.Name, fl, ptq, qat, mean(x.Frozen), recovery,
			x.Bytes, x.FloatBytes, x.CodesChecked, x.CodesDiffering)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "net %s, seeds %v, %.1f s; frozen networks of the first seed in %s\n", r.Net, r.Seeds, r.Seconds, filepath.Dir(r.Rows[0].File))
	return err
}

// oneDigit is one of the 360 test digits, in percent: a smaller loss is no loss to
// recover.
const oneDigit = 100.0 / 360

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// evaluate loads a frozen network, runs it on the test digits and prints JSON.
func evaluate(o options, stdout io.Writer) error {
	b, err := newBench(o)
	if err != nil {
		return err
	}
	fz, err := frozen.ReadFile(o.eval)
	if err != nil {
		return err
	}
	acc, err := b.percent(runner(fz))
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(evaluation{File: o.eval, Accuracy: acc, Examples: b.test.Len()})
}

// evaluation is what -eval prints.
type evaluation struct {
	File     string  `json:"file"`
	Accuracy float64 `json:"accuracy"` // percent
	Examples int     `json:"examples"`
}
