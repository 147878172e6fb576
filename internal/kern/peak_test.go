package kern

import "testing"

func TestPeakCounts(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		fma, bytes := PeakFMA(peakSteps+1), PeakInt8(3)
		lanes := map[Level]int{LevelAVX2: 8, LevelAVX512: 16, LevelVNNI: 16}[level]
		if want := (peakSteps + 1) * peakVectors * lanes * 2; fma != want {
			t.Errorf("PeakFMA did %d operations, want %d", fma, want)
		}
		if want := 3 * peakVectors * 64 * 2; level == LevelVNNI && bytes != want || level < LevelVNNI && bytes != 0 {
			t.Errorf("PeakInt8 did %d operations", bytes)
		}
	})
}

func BenchmarkPeak(b *testing.B) {
	for _, e := range []struct {
		name string
		fn   func(int) int
	}{{"FMA", PeakFMA}, {"Int8", PeakInt8}} {
		b.Run(e.name, func(b *testing.B) {
			ops := 0
			for b.Loop() {
				ops += e.fn(peakSteps)
			}
			b.ReportMetric(float64(ops)/b.Elapsed().Seconds()/1e9, "Gop/s")
		})
	}
}
