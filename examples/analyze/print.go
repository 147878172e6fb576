package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes the tables: per seed, then the mean.
func (r *result) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "format\t\t")
	for _, s := range r.Seeds {
		fmt.Fprintf(w, "seed %d %%\t", s)
	}
	fmt.Fprintln(w, "mean %\t")
	line := func(name, how string, acc []float64) {
		fmt.Fprintf(w, "%s\t%s\t", name, how)
		for _, a := range acc {
			fmt.Fprintf(w, "%.2f\t", a)
		}
		fmt.Fprintf(w, "%.2f\t\n", mean(acc))
	}
	line("float", "", r.Float)
	for _, x := range r.Rows {
		line(x.Name, "plain", x.Plain)
		line("", "with helpers", x.Helpers)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nsensitivity of %s, with helpers, seed 0\n%v\nmixed precision: weights of 4 and 8 bits, seed 0\n%vaccuracy %.2f %%; reports, config and network in %s\n",
		r.Inspected, r.Sensitivity, r.Mixed, r.MixedScore, r.Out)
	return err
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
