package kern

// What does a step of Adam or SGD compute?

import (
	"math"
	"sync"
)

// AdamFactors are the numbers of one update of Adam, the same for all elements.
type AdamFactors struct {
	C1, B2, C2 float32 // 1-beta1, beta2, 1-beta2
	Step       float32 // learning rate/(1-beta1^t)
	Root       float32 // sqrt(1-beta2^t)
	Eps        float32
	L2         float32 // weight decay that is added to the gradient
	Shrink     float32 // factor of the weight before the update: 1 - learning rate · decoupled decay
}

// AdamStep updates weights w and moments m and v from the gradient g, all equally
// long, every operation rounded to float32:
//
//	w *= Shrink;  d = g + L2·w
//	m += C1·(d - m)
//	v = B2·v + C2·d·d
//	w -= Step·m / (sqrt(v)/Root + Eps)
//
// (Kingma and Ba 2015, algorithm 1, with the corrections of m and v taken out of the
// loop; Loshchilov and Hutter 2019 for Shrink.) Long slices are updated in parallel.
func AdamStep(w, g, m, v []float32, f *AdamFactors) {
	if len(w) <= elemChunk { // without a closure
		adam(w, g, m, v, f)
		return
	}
	c := *f // f itself need not leave the stack
	inChunks(len(w), func(lo, hi int) { adam(w[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi], &c) })
}

func adam(w, g, m, v []float32, f *AdamFactors) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	for i := adamFast(w, g, m, v, f); i < len(w); i++ {
		x := float32(w[i] * f.Shrink)
		d := g[i] + float32(f.L2*x)
		a := m[i] + float32(f.C1*(d-m[i]))
		b := float32(f.B2*v[i]) + float32(float32(f.C2*d)*d)
		m[i], v[i] = a, b
		// The root of a float32 in float64, rounded, is the correctly rounded one.
		root := float32(float32(math.Sqrt(float64(b)))/f.Root) + f.Eps
		w[i] = x - float32(f.Step*a)/root
	}
}

// SGDStep updates weights w and velocities v from the gradient g, all equally long,
// every operation rounded to float32:
//
//	d = g + wd·w;  v = mom·v + d
//	w -= lr·v              with nesterov: lr·(d + mom·v)
func SGDStep(w, g, v []float32, lr, mom, wd float32, nesterov bool) {
	inChunks(len(w), func(lo, hi int) { sgd(w[lo:hi], g[lo:hi], v[lo:hi], lr, mom, wd, nesterov) })
}

func sgd(w, g, v []float32, lr, mom, wd float32, nesterov bool) {
	g, v = g[:len(w)], v[:len(w)]
	for i := sgdFast(w, g, v, lr, mom, wd, nesterov); i < len(w); i++ {
		d := g[i] + float32(wd*w[i])
		u := float32(mom*v[i]) + d
		v[i] = u
		if nesterov {
			u = d + float32(mom*u)
		}
		w[i] -= float32(lr * u)
	}
}

// NotFinite returns the index of the first NaN or infinity in x, or -1. Long slices
// are read in parallel.
func NotFinite(x []float32) int {
	if len(x) <= elemChunk {
		return notFinite(x)
	}
	var mu sync.Mutex
	first := -1
	inChunks(len(x), func(lo, hi int) {
		if i := notFinite(x[lo:hi]); i >= 0 {
			mu.Lock()
			defer mu.Unlock()
			if first < 0 || lo+i < first {
				first = lo + i
			}
		}
	})
	return first
}

func notFinite(x []float32) int {
	e, done := extentFast(x)
	if done > 0 && !e.clean {
		done = 0
	}
	for i, v := range x[done:] {
		if v-v != 0 {
			return done + i
		}
	}
	return -1
}
