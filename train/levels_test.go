package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"runtime"
	"testing"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
)

// various has all kinds of layers whose kernels differ between levels, with sums of
// more terms than one chain has.
func various() *models.Net {
	body := models.Sequential(
		models.Conv2D{Depthwise: true, Kernel: 3, Pad: 1, NoBias: true}, models.BatchNorm{}, models.ReLU6{},
		models.Conv2D{Out: 20, Kernel: 1, NoBias: true}, models.BatchNorm{},
	)
	return must(models.New([]int{3, 11, 10}, models.Sequential(
		models.Conv2D{Out: 20, Kernel: 3, Pad: 1}, models.ReLU{},
		models.Residual(body, nil), models.ReLU{},
		models.Conv2D{Out: 60, Kernel: 3, Stride: 2, Pad: 1, NoBias: true}, models.BatchNorm{}, models.ReLU{},
		models.Residual(models.Sequential(models.Conv2D{Out: 60, Kernel: 3, Pad: 1}, models.LeakyReLU{}), nil),
		models.Conv2D{Depthwise: true, Kernel: 3, Stride: 2, Pad: 1}, models.ReLU{},
		models.Residual(models.Sequential(models.AvgPool{Kernel: 3, Stride: 1, Pad: 1}), nil),
		models.MaxPool{Kernel: 2, Stride: 1}, models.Flatten{},
		models.Linear{Out: 40}, models.ReLU{}, models.Linear{Out: 5},
	), 7))
}

// noise has as many rows for various as are asked for.
func noise(rows int) Data {
	d := Data{Shape: []int{3, 11, 10}, Classes: 5}
	for i := range rows * 330 {
		d.X = append(d.X, float32((i*7919+i/330*13)%1009)/500-1)
	}
	for i := range rows {
		d.Y = append(d.Y, i%5)
	}
	return d
}

// trainSome makes a few steps.
func trainSome() Recipe {
	return Recipe{Epochs: 2, Batch: 6, Seed: 3, Schedule: Cosine{Base: 0.01}, Quiet: true}
}

func floatBits(h hash.Hash) error {
	net := various()
	if err := Fit(context.Background(), Float(net), noise(18), trainSome()); err != nil {
		return err
	}
	if err := net.Write(h); err != nil {
		return err
	}
	out, err := LogitsOf(net)(noise(7).X, 7)
	if err != nil {
		return err
	}
	return binary.Write(h, binary.LittleEndian, out)
}

// quantizedBits trains, freezes and runs a network; it also asks for what must hold
// on each level by itself, that the frozen network computes the trained codes.
func quantizedBits(h hash.Hash, global qconfig.Layer) error {
	net := various()
	g, err := net.Build(6, true)
	if err != nil {
		return err
	}
	p, err := qat.Prepare(g.G, qconfig.Config{Global: &global, Milestones: qconfig.MilestonesAt(0, 1, 4, 4)}, g.Logits)
	if err != nil {
		return err
	}
	cfg := trainSome()
	cfg.Batch = 0
	if err := Fit(context.Background(), p, noise(18), cfg); err != nil {
		return err
	}
	if err := net.Write(h); err != nil {
		return err
	}
	fz, err := p.Freeze()
	if err != nil {
		return err
	}
	if err := fz.Write(h); err != nil {
		return err
	}
	for _, rows := range []int{1, 7} {
		x := noise(rows).X
		out, err := fz.Run(x)
		if err != nil {
			return err
		}
		v, err := p.Verify(fz, x)
		if err != nil {
			return err
		}
		if v.Differing != 0 {
			return fmt.Errorf("%d of %d codes differ between training and frozen network", v.Differing, v.Checked)
		}
		if err := binary.Write(h, binary.LittleEndian, out[0]); err != nil {
			return err
		}
	}
	return nil
}

// sameBits holds the first eight bytes of each case's sum. They are the same on every
// processor, with every GOMAXPROCS and with the build tag noasm. A change of the
// numbers changes them: then the new ones stand here, and CHANGELOG.md says why.
var sameBits = map[string]string{
	"float":       "a8e99ab76ebffca9",
	"int8":        "7caf458b9305469d",
	"affine":      "c41f1253b6e042ae",
	"int4 blocks": "0cadd2a9bf825e4b",
	"learned":     "cd34a410dff5b207",
}

// TestSameBits: weights after training and the outputs of the frozen network do not
// depend on the processor's instructions nor on the number of goroutines, and are what
// they were when sameBits was written.
func TestSameBits(t *testing.T) {
	defer kern.SetLevel(kern.CurrentLevel())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	counts := []int{1, 2, 5}
	if testing.Short() {
		counts = []int{3}
	}
	for _, c := range []struct {
		name string
		bits func(h hash.Hash) error
	}{
		{"float", floatBits},
		{"int8", func(h hash.Hash) error { return quantizedBits(h, qconfig.Layer{}) }},
		{"affine", func(h hash.Hash) error {
			return quantizedBits(h, qconfig.Layer{Weights: qconfig.Tensor{Scheme: qconfig.Affine},
				Activations: qconfig.Tensor{Scheme: qconfig.Affine, Observer: "histogram"}})
		}},
		{"int4 blocks", func(h hash.Hash) error {
			return quantizedBits(h, qconfig.Layer{Weights: qconfig.Tensor{Bits: 4, Granularity: qconfig.PerBlock, BlockSize: 8}})
		}},
		{"learned", func(h hash.Hash) error {
			return quantizedBits(h, qconfig.Layer{Weights: qconfig.Tensor{Bits: 3, Estimator: qconfig.LSQ},
				Activations: qconfig.Tensor{Estimator: qconfig.LSQ}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []byte
			for level := kern.LevelGeneric; level <= kern.LevelVNNI; level++ {
				if kern.SetLevel(level); kern.CurrentLevel() != level {
					continue
				}
				for _, procs := range counts {
					runtime.GOMAXPROCS(procs)
					h := sha256.New()
					if err := c.bits(h); err != nil {
						t.Fatalf("%v, %d processors: %v", level, procs, err)
					}
					switch sum := h.Sum(nil); {
					case want == nil:
						want = sum
						t.Logf("sum %s: %x", c.name, sum[:8])
						if got := fmt.Sprintf("%x", sum[:8]); got != sameBits[c.name] {
							t.Errorf("%v, %d processors: sum %s, was %s: training gives other bits than before", level, procs, got, sameBits[c.name])
						}
					case !bytes.Equal(sum, want):
						t.Errorf("%v, %d processors: other bits than %v with %d", level, procs, kern.LevelGeneric, counts[0])
					}
				}
			}
		})
	}
}
