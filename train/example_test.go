package train_test

import (
	"context"
	"fmt"
	"log"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/train"
)

// points returns rows of two classes: x+y above 1 or not.
func points() train.Data {
	d := train.Data{Shape: []int{2}, Classes: 2}
	for i := range 100 {
		x, y := float32(i%10)/9, float32(i/10)/9
		label := 0
		if x+y > 1.05 {
			label = 1
		}
		d.X, d.Y = append(d.X, x, y), append(d.Y, label)
	}
	return d
}

func ExampleFloat() {
	net, err := models.MLP(1, 2, 16, 2)
	if err != nil {
		log.Fatal(err)
	}
	err = train.Fit(context.Background(), train.Float(net), points(), train.Recipe{
		Epochs: 60, Batch: 20, Seed: 1, Schedule: train.Cosine{Base: 0.05, Warmup: 10}, Quiet: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	score, err := train.Evaluate(train.LogitsOf(net), points(), 64)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d right\n", score.Correct, score.Rows)
	// Output: 100 of 100 right
}

// A learning rate that rises for two steps and then falls along a cosine.
func ExampleCosine() {
	s := train.Cosine{Base: 0.3, Warmup: 2}
	for step := range 6 {
		fmt.Printf("%.2f ", s.LR(step, 6))
	}
	fmt.Println()
	// Output: 0.10 0.20 0.30 0.26 0.15 0.04
}
