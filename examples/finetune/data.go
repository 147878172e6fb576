package main

import (
	"math"

	"github.com/goqat/goqat/testdata"
	"github.com/goqat/goqat/train"
)

// digits are the images, split as the example needs them.
type digits struct{ train, test train.Data }

func loadDigits() (digits, error) {
	tr, te, err := testdata.Digits()
	if err != nil {
		return digits{}, err
	}
	data := func(d testdata.DigitSet) train.Data {
		return train.Data{X: d.Images, Y: d.Labels, Shape: []int{1, testdata.DigitSize, testdata.DigitSize}, Classes: testdata.DigitClasses}
	}
	return digits{data(tr), data(te)}, nil
}

// percent is the accuracy on the test digits.
func (d digits) percent(p train.Logits) (float64, error) {
	acc, err := train.Accuracy(p, d.test, evalBatch)
	return math.Round(acc*10000) / 100, err
}

// predictor turns a network's function, of one input and one output, into one that
// package train evaluates.
func predictor(fn func(inputs ...[]float32) ([][]float32, error)) train.Logits {
	return func(x []float32, _ int) ([]float32, error) {
		outs, err := fn(x)
		if err != nil {
			return nil, err
		}
		return outs[0], nil
	}
}
