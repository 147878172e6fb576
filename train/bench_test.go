package train

import "testing"

// BenchmarkAdam updates as many values as the ConvNet of package models has.
func BenchmarkAdam(b *testing.B) {
	const n = 421642
	w, g := make([]float32, n), make([]float32, n)
	for i := range g {
		g[i] = float32(i%13-6) / 8
	}
	o, ps := must(NewAdam(AdamConfig{LearnRate: 1e-3})), list(vec("w", w, g))
	b.SetBytes(4 * n)
	b.ReportAllocs()
	for b.Loop() {
		must(0, o.Step(ps))
	}
}
