package models

import "fmt"

// MLP is a network of linear layers fc1, fc2 … with ReLU between them, for rows of
// sizes[0] values; sizes[len-1] is the number of classes. MLP(seed, 784, 512, 256, 10)
// is the classic one for handwritten digits.
func MLP(seed uint64, sizes ...int) (*Net, error) {
	if len(sizes) < 2 {
		return nil, fmt.Errorf("models: MLP: %w: %d sizes, want at least the input and the output", ErrConfig, len(sizes))
	}
	var layers []Layer
	for i, n := range sizes[1:] {
		if i > 0 {
			layers = append(layers, ReLU{})
		}
		layers = append(layers, Linear{Out: n})
	}
	return New(sizes[:1], Sequential(layers...), seed)
}

// ConvNet is a plain convolutional network for images [1,28,28] and 10 classes, with
// about 421,000 parameters: conv1 32, pool, conv2 64, pool, fc1 128, fc2.
func ConvNet(seed uint64) (*Net, error) {
	return New([]int{1, 28, 28}, Sequential(
		Conv2D{Out: 32, Kernel: 3, Pad: 1}, ReLU{}, MaxPool{Kernel: 2},
		Conv2D{Out: 64, Kernel: 3, Pad: 1}, ReLU{}, MaxPool{Kernel: 2},
		Flatten{}, Linear{Out: 128}, ReLU{}, Linear{Out: 10},
	), seed)
}

// convBN is a 3x3 convolution, batch normalisation and ReLU.
func convBN(out, stride int) Layer {
	return Sequential(Conv2D{Out: out, Kernel: 3, Stride: stride, Pad: 1, NoBias: true}, BatchNorm{}, ReLU{})
}

// separable is a depthwise 3x3 and a pointwise convolution, each with batch
// normalisation and ReLU (Howard et al. 2017, MobileNet).
func separable(out, stride int) Layer {
	return Sequential(
		Conv2D{Depthwise: true, Kernel: 3, Stride: stride, Pad: 1, NoBias: true}, BatchNorm{}, ReLU{},
		Conv2D{Out: out, Kernel: 1, NoBias: true}, BatchNorm{}, ReLU{},
	)
}

// CNN is a small convolutional network with batch normalisation for images [1,8,8]
// and 10 classes: 16, 32 and 32 channels, the last two with stride 2.
func CNN(seed uint64) (*Net, error) {
	return New([]int{1, 8, 8}, Sequential(convBN(16, 1), convBN(32, 2), convBN(32, 2), Flatten{}, Linear{Out: 10}), seed)
}

// Mobile is a small network of depthwise separable convolutions for images [1,8,8]
// and 10 classes. Networks of this kind lose most when quantized per tensor.
func Mobile(seed uint64) (*Net, error) {
	return New([]int{1, 8, 8}, Sequential(
		convBN(8, 1), separable(16, 1), separable(24, 2), separable(24, 1), separable(32, 2), separable(32, 1),
		GlobalAvgPool{}, Flatten{}, Linear{Out: 10},
	), seed)
}

// Mobile32 is a network of depthwise separable convolutions for images [3,32,32] and
// 10 classes, with about 19,000 parameters: a stem of 16 channels and four blocks
// of 32, 64, 64 and 128, the second and the last with stride 2.
func Mobile32(seed uint64) (*Net, error) {
	return New([]int{3, 32, 32}, Sequential(
		convBN(16, 1), separable(32, 1), separable(64, 2), separable(64, 1), separable(128, 2),
		GlobalAvgPool{}, Flatten{}, Linear{Out: 10},
	), seed)
}

// ResNet8 is a residual network for images [3,32,32] and 10 classes, with about
// 78,000 parameters: a stem and three blocks of 16, 32 and 64 channels (He et al.
// 2016). Its parameters are named as "block1.conv1.weight".
func ResNet8(seed uint64) (*Net, error) {
	return New([]int{3, 32, 32}, Sequential(
		convBN(16, 1),
		Named("block1", block(16, 1, false)), Named("block2", block(32, 2, true)), Named("block3", block(64, 2, true)),
		GlobalAvgPool{}, Flatten{}, Linear{Out: 10},
	), seed)
}

// block is a basic residual block. project puts a 1x1 convolution into the shortcut,
// where the shape changes.
func block(out, stride int, project bool) Layer {
	var shortcut Layer
	if project {
		shortcut = Named("short", Sequential(Conv2D{Name: "conv", Out: out, Kernel: 1, Stride: stride, NoBias: true}, BatchNorm{Name: "bn"}))
	}
	body := Sequential(
		convBN(out, stride),
		Conv2D{Out: out, Kernel: 3, Pad: 1, NoBias: true}, BatchNorm{},
	)
	return Sequential(Residual(body, shortcut), ReLU{})
}
