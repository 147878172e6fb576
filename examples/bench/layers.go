package main

import "github.com/goqat/goqat/internal/kern"

// Which layers of large networks does the table of kernels show? First layers, thin and
// grouped convolutions, depthwise ones, pools.

// batch is c for eight images.
func batch(c kern.Conv) kern.Conv {
	c.N = 8
	return c
}

// patch is a convolution whose windows lie side by side.
func patch(out, size int) kern.Conv {
	return kern.Conv{N: 8, C: 3, H: 224, W: 224, K: out, R: size, S: size, OH: 224 / size, OW: 224 / size, Groups: 1,
		Stride: [2]int{size, size}, Dilation: [2]int{1, 1}}
}

// layerShapes are layers of ResNet, MobileNet, ConvNeXt, ViT, RegNet and EfficientNet.
func layerShapes() []kern.Conv {
	return []kern.Conv{
		batch(square(3, 64, 224, 7, 2, 1)), batch(square(3, 32, 224, 3, 2, 1)), patch(96, 4), patch(192, 16),
		batch(square(64, 64, 56, 3, 1, 1)), batch(square(512, 512, 7, 3, 1, 1)),
		batch(square(128, 128, 28, 3, 1, 8)), batch(square(440, 440, 14, 3, 1, 55)),
		batch(square(32, 16, 112, 1, 1, 1)), batch(square(16, 96, 112, 1, 1, 1)), batch(square(24, 144, 56, 1, 1, 1)),
		batch(square(144, 24, 56, 1, 1, 1)), batch(square(40, 240, 28, 1, 1, 1)),
	}
}

// depthwiseShapes are depthwise layers of MobileNet, EfficientNet and ConvNeXt.
func depthwiseShapes() (shapes []kern.Conv) {
	for _, s := range [][4]int{ // channels, size, window, stride
		{32, 112, 3, 1}, {96, 112, 3, 2}, {144, 56, 3, 1}, {480, 14, 3, 1}, {1152, 7, 3, 1},
		{144, 56, 5, 2}, {240, 28, 5, 1}, {672, 14, 5, 1}, {1152, 7, 5, 1},
		{96, 56, 7, 1}, {192, 28, 7, 1}, {384, 14, 7, 1}, {768, 7, 7, 1},
	} {
		shapes = append(shapes, batch(square(s[0], s[0], s[1], s[2], s[3], s[0])))
	}
	return shapes
}

// inBytes counts what kernels of convolutions, as many for each shape, read and write, elements
// of so many bytes, instead of their products.
func inBytes(ks []kernel, shapes []kern.Conv, element int) []kernel {
	for i := range ks {
		c, call := shapes[i*len(shapes)/len(ks)], ks[i].call
		work := float64(element * c.N * (c.C*c.H*c.W + c.K*c.OH*c.OW))
		ks[i].peak, ks[i].call = copyPeak, func() float64 { call(); return work }
	}
	return ks
}

// pools are those of ResNet, of SqueezeNet and Inception, and global ones.
func pools() (ks []kernel) {
	three, two, one := [2]int{3, 3}, [2]int{2, 2}, [2]int{1, 1}
	for _, e := range []struct {
		name string
		p    kern.Pool
	}{
		{"112×112, 3×3/2", kern.Pool{Planes: 8 * 64, H: 112, W: 112, OH: 56, OW: 56, Kernel: three, Stride: two, Pad: [4]int{1, 1, 1, 1}}},
		{"54×54, 3×3/2 rounded up", kern.Pool{Planes: 8 * 128, H: 54, W: 54, OH: 27, OW: 27, Kernel: three, Stride: two}},
		{"28×28, 3×3", kern.Pool{Planes: 8 * 192, H: 28, W: 28, OH: 28, OW: 28, Kernel: three, Stride: one, Pad: [4]int{1, 1, 1, 1}}},
		{"56×56, 2×2/2", kern.Pool{Planes: 8 * 128, H: 56, W: 56, OH: 28, OW: 28, Kernel: two, Stride: two}},
		{"7×7, global", kern.Pool{Planes: 8 * 1280, H: 7, W: 7, OH: 1, OW: 1, Kernel: [2]int{7, 7}, Stride: one}},
	} {
		ks = append(ks, poolKernels(e.name, e.p)...)
	}
	return ks
}

func poolKernels(name string, p kern.Pool) []kernel {
	in, out := p.Planes*p.H*p.W, p.Planes*p.OH*p.OW
	x, y, dx, dy, u, v := floats(in), make([]float32, out), make([]float32, in), floats(out), codes(in), make([]uint8, out)
	kern.MaxPool(&p, y, x)
	number := func(what string, elements int, fn func()) kernel {
		return kernel{name + " " + what, copyPeak, func() float64 { fn(); return float64(4 * elements) }}
	}
	return []kernel{
		number("maximum", in+out, func() { kern.MaxPool(&p, y, x) }),
		number("maximum, gradient", 2*(in+out), func() { kern.MaxPoolBackward(&p, dx, x, y, dy) }),
		number("average", in+out, func() { kern.AvgPool(&p, dy, x) }),
		number("average, gradient", in+out, func() { kern.AvgPoolBackward(&p, dx, dy) }),
		{name + " maximum of codes", copyPeak, func() float64 { kern.MaxPoolCodes(0, &p, v, u); return float64(in + out) }},
	}
}
