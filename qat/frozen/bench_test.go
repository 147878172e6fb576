package frozen_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
)

// frozenModel calibrates a network of package models on random images and freezes it.
func frozenModel(t testing.TB, net *models.Net, weights qconfig.Tensor) *frozen.Network {
	t.Helper()
	const batch = 4
	g, err := net.Build(batch, true)
	if err != nil {
		t.Fatal(err)
	}
	weights.Granularity, weights.NarrowRange = qconfig.PerChannel, qconfig.Yes
	p, err := qat.Prepare(g.G, qconfig.Config{Global: &qconfig.Layer{Weights: weights, Activations: qconfig.Tensor{Scheme: qconfig.Affine}}}, g.Logits)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Calibrate(images(net, batch)); err != nil {
		t.Fatal(err)
	}
	fz, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	return fz
}

func images(net *models.Net, batch int) []float32 {
	rng := rand.New(rand.NewPCG(3, 4))
	n := batch
	for _, d := range net.Input() {
		n *= d
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()
	}
	return x
}

var benchModels = []struct {
	name string
	make func(seed uint64) (*models.Net, error)
}{
	{"mlp", func(seed uint64) (*models.Net, error) { return models.MLP(seed, 784, 512, 256, 10) }},
	{"convnet", models.ConvNet},
	{"resnet8", models.ResNet8},
	{"mobile", models.Mobile32},
}

// BenchmarkRun measures whole runs: by network, bits of the weights, batch and threads.
func BenchmarkRun(b *testing.B) {
	for _, m := range benchModels {
		net, err := m.make(1)
		if err != nil {
			b.Fatal(err)
		}
		for _, bits := range []int{8, 4} {
			fz := frozenModel(b, net, qconfig.Tensor{Bits: bits})
			for _, batch := range []int{1, 32} {
				for _, threads := range []int{1, 2} {
					b.Run(fmt.Sprintf("%s/int%d/batch%d/threads%d", m.name, bits, batch, threads), func(b *testing.B) {
						r, err := fz.Runner(frozen.RunOptions{Threads: threads})
						if err != nil {
							b.Fatal(err)
						}
						x := images(net, batch)
						b.ReportAllocs()
						for b.Loop() {
							if _, err := r.Run(x); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
			}
		}
	}
}
