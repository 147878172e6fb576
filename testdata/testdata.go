// Package testdata holds the data that tests and examples share: a small set of
// images of handwritten digits and golden vectors of quantization-aware
// training. Everything is embedded, so no test reads a file by its path.
// README.md in this folder has origins, licences and checksums.
//
// The go command leaves folders named testdata out of ./... : test this one by
// its name, go test ./testdata.
package testdata

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

//go:embed digits.csv.gz split.json golden/*.json.gz
var files embed.FS

// Size and normalisation of the digits.
const (
	DigitSize    = 8                     // rows and columns of an image
	DigitPixels  = DigitSize * DigitSize // elements of an image
	DigitClasses = 10                    // labels are 0 to 9
	DigitMean    = 4.884                 // mean raw pixel over all images
	DigitStd     = 6.017                 // standard deviation of the raw pixels
	NumTrain     = 1437                  // images to train on
	NumTest      = allDigits - NumTrain  // images to test on
	allDigits    = 1797                  // rows of the file
	digitsFile   = "digits.csv.gz"       // 65 columns: pixels 0..16, then the label
	splitFile    = "split.json"          // row numbers of both parts
	digitsSHA256 = "46abec6b12486ad9e51943373abcf22bbea1b5a51a1619b361570d8893f1464a"
)

// DigitSet is a set of labelled images, in the order of the split file.
type DigitSet struct {
	// Images holds the images one after the other, shape [N, 1, 8, 8] row-major.
	// A pixel is (p - DigitMean) / DigitStd in float32, with raw p from 0 to 16.
	Images []float32
	// Labels holds the digit, 0 to 9, of each image.
	Labels []int
}

// Len returns the number of images.
func (d DigitSet) Len() int { return len(d.Labels) }

var digits = sync.OnceValues(loadDigits)

type bothSets struct{ train, test DigitSet }

// Digits returns the 1437 training and 360 test images. They are parsed once;
// each call returns a copy that the caller owns. It fails when the embedded file
// is not the one that the README names.
func Digits() (train, test DigitSet, err error) {
	both, err := digits()
	if err != nil {
		return DigitSet{}, DigitSet{}, err
	}
	return both.train.clone(), both.test.clone(), nil
}

func (d DigitSet) clone() DigitSet {
	return DigitSet{Images: append([]float32(nil), d.Images...), Labels: append([]int(nil), d.Labels...)}
}

func loadDigits() (bothSets, error) {
	raw, err := files.ReadFile(digitsFile)
	if err != nil {
		return bothSets{}, err
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != digitsSHA256 {
		return bothSets{}, fmt.Errorf("%s has SHA-256 %x, want %s: restore the file", digitsFile, sum, digitsSHA256)
	}
	text, err := gunzip(raw)
	if err != nil {
		return bothSets{}, fmt.Errorf("%s: %w", digitsFile, err)
	}
	all, err := parseDigits(string(text))
	if err != nil {
		return bothSets{}, fmt.Errorf("%s: %w", digitsFile, err)
	}
	split, err := readSplit()
	if err != nil {
		return bothSets{}, fmt.Errorf("%s: %w", splitFile, err)
	}
	return bothSets{train: all.pick(split.Train), test: all.pick(split.Test)}, nil
}

func parseDigits(text string) (DigitSet, error) {
	d := DigitSet{Images: make([]float32, 0, allDigits*DigitPixels), Labels: make([]int, 0, allDigits)}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), ",")
		if len(cells) != DigitPixels+1 {
			return DigitSet{}, fmt.Errorf("row %d has %d columns, want %d", d.Len(), len(cells), DigitPixels+1)
		}
		for i, cell := range cells {
			v, err := strconv.ParseFloat(cell, 32)
			if err != nil {
				return DigitSet{}, fmt.Errorf("row %d: %w", d.Len(), err)
			}
			if i < DigitPixels {
				d.Images = append(d.Images, (float32(v)-DigitMean)/DigitStd)
			} else {
				d.Labels = append(d.Labels, int(v))
			}
		}
	}
	if d.Len() != allDigits {
		return DigitSet{}, fmt.Errorf("%d rows, want %d", d.Len(), allDigits)
	}
	return d, nil
}

type digitSplit struct{ Train, Test []int }

// readSplit checks that every row is in exactly one part.
func readSplit() (digitSplit, error) {
	var s digitSplit
	raw, err := files.ReadFile(splitFile)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, err
	}
	if len(s.Train) != NumTrain || len(s.Test) != NumTest {
		return s, fmt.Errorf("%d and %d rows, want %d and %d", len(s.Train), len(s.Test), NumTrain, NumTest)
	}
	seen := make([]bool, allDigits)
	for _, part := range [][]int{s.Train, s.Test} {
		for _, row := range part {
			if row < 0 || row >= allDigits || seen[row] {
				return s, fmt.Errorf("row %d is outside the file or listed twice", row)
			}
			seen[row] = true
		}
	}
	return s, nil
}

func (d DigitSet) pick(rows []int) DigitSet {
	var out DigitSet
	for _, r := range rows {
		out.Images = append(out.Images, d.Images[r*DigitPixels:(r+1)*DigitPixels]...)
		out.Labels = append(out.Labels, d.Labels[r])
	}
	return out
}

func gunzip(raw []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r) // reading to the end checks the length and checksum
}
