package models_test

import (
	"fmt"
	"log"

	"github.com/goqat/goqat/models"
	"gorgonia.org/gorgonia"
)

func ExampleSequential() {
	net, err := models.New([]int{1, 8, 8}, models.Sequential(
		models.Conv2D{Out: 4, Kernel: 3, Pad: 1, NoBias: true}, models.BatchNorm{}, models.ReLU{},
		models.MaxPool{Kernel: 2}, models.Flatten{}, models.Linear{Out: 10},
	), 1)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range net.Params() {
		fmt.Println(p.Name, p.Shape)
	}
	g, err := net.Build(32, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("logits", g.Logits.Shape())
	// Output:
	// conv1.weight [4 1 3 3]
	// bn1.weight [4]
	// bn1.bias [4]
	// fc1.weight [10 64]
	// fc1.bias [10]
	// logits (32, 10)
}

// A free-form network: two branches, joined.
func ExampleFunc() {
	net, err := models.New([]int{1, 8, 8}, models.Func(func(b *models.Builder, x *gorgonia.Node) *gorgonia.Node {
		left := models.Conv2D{Name: "left", Out: 4, Kernel: 3, Pad: 1}.Apply(b, x)
		right := models.Conv2D{Name: "right", Out: 4, Kernel: 1}.Apply(b, x)
		y := models.ReLU{}.Apply(b, b.Concat(1, left, right))
		return models.Linear{Name: "head", Out: 10}.Apply(b, models.Flatten{}.Apply(b, y))
	}), 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(net.Size(), "parameters")
	// Output: 5178 parameters
}
