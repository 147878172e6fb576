package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/export/coremlout"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/report/page"
)

// export writes the frozen network beside its file for the runtimes of other people: as
// ONNX model and as Core ML package, under the same name.
func (o options) export(file string, fz *frozen.Network) error {
	if o.noExport {
		return nil
	}
	base := strings.TrimSuffix(file, ".safetensors")
	err := onnxout.WriteFile(base+".onnx", fz, onnxout.Options{})
	if err == nil {
		err = coremlout.WriteDir(base+".mlpackage", fz, coremlout.Options{Description: "handwritten digits"})
	}
	if err != nil {
		return fmt.Errorf("%w (-export=false goes without)", err)
	}
	return nil
}

// report writes the page about a row beside its file: ranges over the training,
// histograms, noise and sizes.
func (b *bench) report(p *qat.Model, f format, r *row) error {
	if b.o.noExport {
		return nil
	}
	report, err := p.Report(b.test.X)
	if err != nil {
		return err
	}
	opt := page.Options{Title: f.name, Subtitle: b.o.net + " on handwritten digits", Accuracy: []page.Accuracy{
		{Name: "float", Accuracy: r.Float[0] / 100}, {Name: "PTQ", Accuracy: r.PTQ[0] / 100}, {Name: "QAT", Accuracy: r.QAT[0] / 100}, {Name: "frozen", Accuracy: r.Frozen[0] / 100},
	}}
	return atomicfile.WriteFile(strings.TrimSuffix(r.File, ".safetensors")+".html", func(w io.Writer) error { return page.Write(w, report, opt) })
}
