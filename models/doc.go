// Package models builds float networks as Gorgonia graphs: layers, a few reference
// networks, named parameters, and weights files. It knows nothing of quantization.
//
// A network is a [Net]: parameters and running statistics, apart from any graph.
// [Net.Build] makes a graph for a batch size on the same memory, for training or
// for evaluation, as often as needed.
//
// Layers are plain structs. [Sequential] chains them; a free-form network is a Go
// function, [Func], that applies layers to nodes:
//
//	net, err := models.New([]int{1, 28, 28}, models.Func(func(b *models.Builder, x *gorgonia.Node) *gorgonia.Node {
//		left := models.Conv2D{Name: "left", Out: 8, Kernel: 3, Pad: 1}.Apply(b, x)
//		right := models.Conv2D{Name: "right", Out: 8, Kernel: 1}.Apply(b, x)
//		y := models.ReLU{}.Apply(b, b.Concat(1, left, right))
//		return models.Linear{Out: 10}.Apply(b, models.Flatten{}.Apply(b, y))
//	}), seed)
//
// # Names
//
// A layer called "conv1" has the parameters "conv1.weight" and "conv1.bias", a batch
// normalisation "bn1" also the statistics "bn1.running_mean" and "bn1.running_var":
// PyTorch's names. Layers without a name are numbered by kind: conv1, conv2, bn1,
// fc1. [Named] puts a prefix before them.
package models
