package testdata_test

import (
	"fmt"

	"github.com/goqat/goqat/testdata"
)

func ExampleDigits() {
	train, test, err := testdata.Digits()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(train.Len(), "to train on,", test.Len(), "to test on")
	fmt.Println("the first is a", train.Labels[0], "of", len(train.Images)/train.Len(), "pixels")
	// Output:
	// 1437 to train on, 360 to test on
	// the first is a 6 of 64 pixels
}
