package kern

// What do all float32 cost to be compared with float64?

import "math"

// run is a number of neighbouring float32 over which every function here is nearly a cubic:
// 2^-17 of their size.
const run = 64

// runNodes are the elements that a cubic goes through, runProbe one where it is furthest from a
// function of fourth order.
var (
	runNodes = [4]int{0, 21, 42, 63}
	runProbe = 8
	runCubic = func() (w [run][4]float64) { // Lagrange's weights of the nodes
		for i := range w {
			for k, at := range runNodes {
				w[i][k] = 1
				for _, o := range runNodes {
					if o != at {
						w[i][k] *= float64(i-o) / float64(at-o)
					}
				}
			}
		}
		return w
	}()
)

// runError is what a cubic may be off at its probe, relative to the function: 1/128 unit in the
// last place of a float32, of which the denormal ones are not below 2^-149.
const runError, runLeast = 0x1p-31, 0x1p-157

// reference writes f of x, numbers that follow each other if one says so: four of 64 are computed and
// the others taken from a cubic, unless a fifth one shows that it is none.
func reference(f func(float64) float64, y []float64, x []float32, neighbours bool) {
	for len(x) > 0 {
		n := min(run, len(x))
		if !neighbours || n < run || !interpolated(f, y[:n], x[:n]) {
			for i, v := range x[:n] {
				y[i] = f(float64(v))
			}
		}
		x, y = x[n:], y[n:]
	}
}

// interpolated writes f of a run of numbers, or says that it is no cubic.
func interpolated(f func(float64) float64, y []float64, x []float32) bool {
	var v [4]float64
	for k, i := range runNodes {
		v[k] = f(float64(x[i]))
	}
	for i := range y[:run] {
		w := &runCubic[i]
		y[i] = w[0]*v[0] + w[1]*v[1] + w[2]*v[2] + w[3]*v[3]
	}
	probe := f(float64(x[runProbe]))
	return math.Abs(y[runProbe]-probe) <= max(runError*math.Abs(probe), runLeast)
}
