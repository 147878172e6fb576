package onnxin

import (
	"fmt"
	"math"
	"testing"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
)

// The published networks, layer for layer as in the ONNX model zoo, with an eighth of the
// channels and random weights. Where their last layers fit, on smaller images.

// width is the number of channels of a network that has c of them.
func width(c int) int { return max(1, c/8) }

func (f *file) conv(x string, in, out, kernel, stride, pad, groups int) string {
	f.n++
	w := f.weight(fmt.Sprintf("conv%d_w", f.n), math.Sqrt(2/float64(in/groups*kernel*kernel)), out, in/groups, kernel, kernel)
	b := f.weight(fmt.Sprintf("conv%d_b", f.n), 0.1, out)
	return f.node("Conv", []string{x, w, b}, "kernel_shape", []int{kernel, kernel}, "strides", []int{stride, stride},
		"pads", []int{pad, pad, pad, pad}, "group", groups)
}

func (f *file) relu(x string) string { return f.node("Relu", []string{x}) }

func (f *file) batchNorm(x string, c int) string {
	f.n++
	name := fmt.Sprintf("bn%d_", f.n)
	return f.node("BatchNormalization", []string{x, f.fill(name+"scale", 0.9, c), f.weight(name+"b", 0.1, c),
		f.weight(name+"mean", 0.1, c), f.fill(name+"var", 1.1, c)}, "epsilon", 1e-5)
}

// convBN is a convolution, a batch normalisation and, in the files that came from Caffe,
// the scale and shift that belong to it as products of their own.
func (f *file) convBN(x string, in, out, kernel, stride, pad, groups int) string {
	return f.batchNorm(f.conv(x, in, out, kernel, stride, pad, groups), out)
}

func (f *file) scale(x string, c int) string {
	f.n++
	g := f.node("Unsqueeze", []string{f.fill(fmt.Sprintf("scale%d_w", f.n), 1.1, c)}, "axes", []int{1, 2})
	b := f.node("Unsqueeze", []string{f.weight(fmt.Sprintf("scale%d_b", f.n), 0.1, c)}, "axes", []int{1, 2})
	return f.node("Add", []string{f.node("Mul", []string{x, g}), b})
}

func (f *file) maxPool(x string, kernel, stride, pad int) string {
	return f.node("MaxPool", []string{x}, "kernel_shape", []int{kernel, kernel}, "strides", []int{stride, stride}, "pads", []int{pad, pad, pad, pad})
}

func (f *file) avgPool(x string, kernel, stride, pad int) string {
	return f.node("AveragePool", []string{x}, "kernel_shape", []int{kernel, kernel}, "strides", []int{stride, stride}, "pads", []int{pad, pad, pad, pad})
}

func (f *file) lrn(x string) string {
	return f.node("LRN", []string{x}, "size", 5, "alpha", 1e-4, "beta", 0.75)
}

func (f *file) concat(x ...string) string { return f.node("Concat", x, "axis", 1) }

func (f *file) gemm(x string, in, out int) string {
	f.n++
	return f.node("Gemm", []string{x, f.weight(fmt.Sprintf("fc%d_w", f.n), math.Sqrt(1/float64(in)), out, in), f.weight(fmt.Sprintf("fc%d_b", f.n), 0.1, out)}, "transB", 1)
}

// head is global average pooling and a classifier.
func (f *file) head(x string, channels int) string {
	x = f.node("GlobalAveragePool", []string{x})
	x = f.node("Reshape", []string{x, f.list(1, int64(channels))})
	return f.node("Softmax", []string{f.gemm(x, channels, 10)})
}

// dense is a row of fully connected layers behind a Reshape, ReLU and Dropout between them.
func (f *file) dense(x string, sizes ...int) string {
	x = f.node("Reshape", []string{x, f.list(1, int64(sizes[0]))})
	for i := 1; i < len(sizes); i++ {
		x = f.gemm(x, sizes[i-1], sizes[i])
		if i < len(sizes)-1 {
			x = f.node("Dropout", []string{f.relu(x)})
		}
	}
	return f.node("Softmax", []string{x})
}

func alexNet(f *file, x string) string {
	c := [...]int{3, width(96), width(256), width(384), width(384), width(256)}
	x = f.maxPool(f.lrn(f.relu(f.conv(x, c[0], c[1], 11, 4, 0, 1))), 3, 2, 0)
	x = f.maxPool(f.lrn(f.relu(f.conv(x, c[1], c[2], 5, 1, 2, 2))), 3, 2, 0)
	x = f.relu(f.conv(x, c[2], c[3], 3, 1, 1, 1))
	x = f.relu(f.conv(x, c[3], c[4], 3, 1, 1, 2))
	x = f.maxPool(f.relu(f.conv(x, c[4], c[5], 3, 1, 1, 2)), 3, 2, 0)
	return f.dense(x, c[5]*36, width(4096), width(4096), 10)
}

func zfNet(f *file, x string) string {
	c := [...]int{3, width(96), width(256), width(512), width(1024), width(512)}
	x = f.maxPool(f.lrn(f.relu(f.conv(x, c[0], c[1], 7, 2, 1, 1))), 3, 2, 1)
	x = f.maxPool(f.lrn(f.relu(f.conv(x, c[1], c[2], 5, 2, 0, 1))), 3, 2, 1)
	for i := 3; i <= 5; i++ {
		x = f.relu(f.conv(x, c[i-1], c[i], 3, 1, 1, 1))
	}
	return f.dense(f.maxPool(x, 3, 2, 0), c[5]*36, width(4096), width(4096), 10)
}

func vgg19(f *file, x string) string {
	in := 3
	for _, block := range [][2]int{{2, 64}, {2, 128}, {4, 256}, {4, 512}, {4, 512}} {
		for range block[0] {
			x = f.relu(f.conv(x, in, width(block[1]), 3, 1, 1, 1))
			in = width(block[1])
		}
		x = f.maxPool(x, 2, 2, 0)
	}
	return f.dense(x, in*4, width(4096), width(4096), 10)
}

func squeezeNet(f *file, x string) string {
	in := 64
	fire := func(squeeze, expand int) {
		s := f.relu(f.conv(x, width(in), width(squeeze), 1, 1, 0, 1))
		x = f.concat(f.relu(f.conv(s, width(squeeze), width(expand), 1, 1, 0, 1)), f.relu(f.conv(s, width(squeeze), width(expand), 3, 1, 1, 1)))
		in = 2 * expand
	}
	x = f.maxPool(f.relu(f.conv(x, 3, width(64), 3, 2, 0, 1)), 3, 2, 0)
	fire(16, 64)
	fire(16, 64)
	x = f.maxPool(x, 3, 2, 0)
	fire(32, 128)
	fire(32, 128)
	x = f.maxPool(x, 3, 2, 0)
	for _, s := range []int{48, 48, 64, 64} {
		fire(s, 4*s)
	}
	x = f.relu(f.conv(f.node("Dropout", []string{x}), width(in), 10, 1, 1, 0, 1))
	return f.node("Softmax", []string{f.node("GlobalAveragePool", []string{x})})
}

func resNet50(f *file, x string) string {
	x = f.maxPool(f.relu(f.convBN(x, 3, width(64), 7, 2, 3, 1)), 3, 2, 1)
	in := width(64)
	for stage, blocks := range []int{3, 4, 6, 3} {
		mid := width(64 << stage)
		for i := range blocks {
			stride := 1
			if i == 0 && stage > 0 {
				stride = 2
			}
			y := f.relu(f.convBN(x, in, mid, 1, stride, 0, 1))
			y = f.relu(f.convBN(y, mid, mid, 3, 1, 1, 1))
			y = f.convBN(y, mid, 4*mid, 1, 1, 0, 1)
			if i == 0 {
				x = f.convBN(x, in, 4*mid, 1, stride, 0, 1)
			}
			x, in = f.relu(f.node("Sum", []string{y, x})), 4*mid
		}
	}
	return f.head(x, in)
}

func denseNet121(f *file, x string) string {
	norm := func(x string, c int) string { return f.relu(f.scale(f.batchNorm(x, c), c)) }
	c, growth := width(64), width(32)
	x = f.maxPool(norm(f.conv(x, 3, c, 7, 2, 3, 1), c), 3, 2, 1)
	for i, layers := range []int{6, 12, 24, 16} {
		for range layers {
			y := f.conv(norm(x, c), c, 4*growth, 1, 1, 0, 1)
			y = f.conv(norm(y, 4*growth), 4*growth, growth, 3, 1, 1, 1)
			x, c = f.concat(x, y), c+growth
		}
		x = norm(x, c)
		if i < 3 {
			x = f.avgPool(f.conv(x, c, c/2, 1, 1, 0, 1), 2, 2, 0)
			c /= 2
		}
	}
	x = f.conv(f.node("GlobalAveragePool", []string{x}), c, 10, 1, 1, 0, 1)
	return x
}

func inceptionV1(f *file, x string) string {
	cr := func(x string, in, out, kernel, pad int) string { return f.relu(f.conv(x, in, out, kernel, 1, pad, 1)) }
	x = f.lrn(f.maxPool(f.relu(f.conv(x, 3, width(64), 7, 2, 3, 1)), 3, 2, 1))
	x = cr(cr(x, width(64), width(64), 1, 0), width(64), width(192), 3, 1)
	x = f.maxPool(f.lrn(x), 3, 2, 1)
	in := width(192)
	for i, m := range [][6]int{{64, 96, 128, 16, 32, 32}, {128, 128, 192, 32, 96, 64}, {192, 96, 208, 16, 48, 64}, {160, 112, 224, 24, 64, 64},
		{128, 128, 256, 24, 64, 64}, {112, 144, 288, 32, 64, 64}, {256, 160, 320, 32, 128, 128}, {256, 160, 320, 32, 128, 128}, {384, 192, 384, 48, 128, 128}} {
		if i == 2 || i == 7 {
			x = f.maxPool(x, 3, 2, 1)
		}
		var c [6]int
		for k := range m {
			c[k] = width(m[k])
		}
		x = f.concat(cr(x, in, c[0], 1, 0), cr(cr(x, in, c[1], 1, 0), c[1], c[2], 3, 1), cr(cr(x, in, c[3], 1, 0), c[3], c[4], 5, 2),
			cr(f.maxPool(x, 3, 1, 1), in, c[5], 1, 0))
		in = c[0] + c[2] + c[4] + c[5]
	}
	return f.head(f.node("Dropout", []string{x}, "ratio", 0.4), in)
}

func inceptionV2(f *file, x string) string {
	cr := func(x string, in, out, kernel, stride int) string {
		return f.relu(f.scale(f.convBN(x, in, out, kernel, stride, kernel/2, 1), out))
	}
	x = f.maxPool(cr(x, 3, width(64), 7, 2), 3, 2, 0)
	x = f.maxPool(cr(cr(x, width(64), width(64), 1, 1), width(64), width(192), 3, 1), 3, 2, 0)
	in := width(192)
	// Branches 1×1, 3×3, double 3×3, pool. A module without the first and the last one has
	// stride 2.
	for _, m := range [][6]int{{64, 64, 64, 64, 96, 32}, {64, 64, 96, 64, 96, 64}, {0, 128, 160, 64, 96, 0}, {224, 64, 96, 96, 128, 128}, {192, 96, 128, 96, 128, 128},
		{160, 128, 160, 128, 160, 96}, {96, 128, 192, 160, 192, 96}, {0, 128, 192, 192, 256, 0}, {352, 192, 320, 160, 224, 128}, {352, 192, 320, 192, 224, 128}} {
		var c [6]int
		for k := range m {
			c[k] = width(m[k])
		}
		stride := 1
		if m[0] == 0 {
			stride = 2
		}
		parts := []string{cr(cr(x, in, c[1], 1, 1), c[1], c[2], 3, stride),
			cr(cr(cr(x, in, c[3], 1, 1), c[3], c[4], 3, 1), c[4], c[4], 3, stride)}
		if stride == 2 {
			x, in = f.concat(append(parts, f.maxPool(x, 3, 2, 1))...), in+c[2]+c[4]
			continue
		}
		parts = append(parts, cr(x, in, c[0], 1, 1), cr(f.avgPool(x, 3, 1, 1), in, c[5], 1, 1))
		x, in = f.concat(parts...), c[0]+c[2]+c[4]+c[5]
	}
	return f.head(x, in)
}

func shuffleNet(f *file, x string) string {
	const groups = 3
	x = f.maxPool(f.relu(f.convBN(x, 3, 24, 3, 2, 1, 1)), 3, 2, 1)
	in, size := 24, 16
	for stage, units := range []int{4, 8, 4} {
		out := 48 << stage
		for i := range units {
			stride, grow := 1, out
			if i == 0 {
				stride, grow = 2, out-in
			}
			mid := out / 4
			g := groups
			if in == 24 {
				g = 1
			}
			y := f.relu(f.convBN(x, in, mid, 1, 1, 0, g))
			// The shuffle: groups and channels change places.
			y = f.node("Reshape", []string{y, f.list(1, groups, int64(mid/groups), int64(size), int64(size))})
			y = f.node("Transpose", []string{y}, "perm", []int{0, 2, 1, 3, 4})
			y = f.node("Reshape", []string{y, f.list(1, int64(mid), int64(size), int64(size))})
			y = f.convBN(f.convBN(y, mid, mid, 3, stride, 1, mid), mid, grow, 1, 1, 0, groups)
			if stride == 2 {
				x, size = f.relu(f.concat(f.avgPool(x, 3, 2, 1), y)), size/2
			} else {
				x = f.relu(f.node("Sum", []string{x, y}))
			}
			in = out
		}
	}
	return f.head(x, in)
}

var networks = []struct {
	name  string
	size  int // rows and columns of the image
	build func(f *file, x string) string
	convs int // convolutions in the published network
}{
	{"AlexNet", 227, alexNet, 5}, {"ZFNet", 224, zfNet, 5}, {"VGG-19", 64, vgg19, 16}, {"SqueezeNet", 64, squeezeNet, 26}, {"ResNet-50", 64, resNet50, 53},
	{"DenseNet-121", 64, denseNet121, 121}, {"Inception v1", 64, inceptionV1, 57}, {"Inception v2", 64, inceptionV2, 69}, {"ShuffleNet", 64, shuffleNet, 49},
}

// TestNetworks: published networks are read, computed and quantized. Their files have a
// fixed batch of 1, which opens again.
func TestNetworks(t *testing.T) {
	for i, c := range networks {
		t.Run(c.name, func(t *testing.T) {
			f := newFile(9)
			f.output(c.build(f, f.input("data", 1, 3, c.size, c.size)))
			if n := count(f, "Conv"); n != c.convs {
				t.Errorf("%d convolutions, the network has %d", n, c.convs)
			}
			m, err := f.read(t, Options{})
			if err != nil {
				t.Fatal(err)
			}
			x := numbers(uint64(i), 3*c.size*c.size)
			y := forward(t, m, x)[0]
			if c.name != "DenseNet-121" { // which has no softmax
				near(t, "sum of the softmax", []float32{total(y)}, []float32{1}, 1e-5)
			}
			quantizedNetwork(t, m, x, y)
		})
	}
}

func count(f *file, op string) (n int) {
	for _, node := range f.Graph.Node {
		if node.GetOpType() == op {
			n++
		}
	}
	return n
}

func total(x []float32) (sum float32) {
	for _, v := range x {
		sum += v
	}
	return sum
}

// quantizedNetwork: what was prepared computes what was read, in float, and freezes to
// what was prepared.
func quantizedNetwork(t *testing.T, m *Model, x, y []float32) {
	t.Helper()
	p, err := qat.Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
	if err != nil {
		t.Fatal(err)
	}
	if p.Batch() != 1 {
		t.Errorf("batch %d, want an open one, traced at 1", p.Batch())
	}
	if err := p.Calibrate(x); err != nil {
		t.Fatal(err)
	}
	fz, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Verify(fz, x)
	if err != nil {
		t.Fatal(err)
	}
	if !v.OK() || v.Checked == 0 {
		t.Errorf("%+v", v)
	}
	got, err := fz.Run(append(append([]float32(nil), x...), x...)) // two rows
	if err != nil {
		t.Fatal(err)
	}
	near(t, "second row", got[0][len(y):], got[0][:len(y)], 0)
}
