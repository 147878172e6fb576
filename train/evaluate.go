package train

import (
	"fmt"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/models"
	"gorgonia.org/gorgonia"
)

// Logits returns the logits [n, classes] of n rows. The result may be memory that
// the next call overwrites.
type Logits func(x []float32, n int) ([]float32, error)

// Score is the outcome of [Evaluate].
type Score struct {
	Rows     int
	Correct  int
	Accuracy float64 // Correct / Rows
	Loss     float64 // mean cross entropy, natural logarithm
}

// Evaluate runs all of d through f, batch rows at a time and then the shorter rest.
// The largest logit is the answer; of equal ones the first. NaN logits are an error
// that wraps ErrNotFinite.
func Evaluate(f Logits, d Data, batch int) (Score, error) {
	if err := d.Check(); err != nil {
		return Score{}, err
	}
	if batch < 1 {
		return Score{}, fmt.Errorf("train: evaluate: %w: batch of %d: use at least 1", ErrConfig, batch)
	}
	s := Score{Rows: d.Len()}
	for lo := 0; lo < d.Len(); lo += batch {
		part := d.Slice(lo, min(lo+batch, d.Len()))
		logits, err := f(part.X, part.Len())
		if err != nil {
			return Score{}, fmt.Errorf("train: evaluate: rows from %d: %w", lo, err)
		}
		if len(logits) != part.Len()*d.Classes {
			return Score{}, fmt.Errorf("train: evaluate: %w: %d logits for %d rows of %d classes", ErrData, len(logits), part.Len(), d.Classes)
		}
		for i, label := range part.Y {
			row := logits[i*d.Classes : (i+1)*d.Classes]
			loss, hit := scoreRow(row, label)
			if loss != loss {
				return Score{}, fmt.Errorf("train: evaluate: row %d: %w: logits %v", lo+i, ErrNotFinite, row)
			}
			s.Loss += loss
			if hit {
				s.Correct++
			}
		}
	}
	s.Loss /= float64(s.Rows)
	s.Accuracy = float64(s.Correct) / float64(s.Rows)
	return s, nil
}

// scoreRow returns -log softmax(row)[label] and whether label has the largest logit.
func scoreRow(row []float32, label int) (loss float64, hit bool) {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return kern.LogOf(kern.ExpSum(nil, row, row[best])) + float64(row[best]) - float64(row[label]), best == label
}

// Accuracy is Evaluate's share of right answers, 0 to 1.
func Accuracy(f Logits, d Data, batch int) (float64, error) {
	s, err := Evaluate(f, d, batch)
	return s.Accuracy, err
}

// LogitsOf evaluates a network in inference mode. It builds one graph for each
// number of rows it is asked for, on the network's own parameters: training in
// between shows at once. It is for one goroutine at a time.
func LogitsOf(net *models.Net) Logits {
	type machine struct {
		g *models.Graph
		m gorgonia.VM
	}
	built := map[int]machine{}
	return func(x []float32, n int) ([]float32, error) {
		mc, ok := built[n]
		if !ok {
			g, err := net.Build(n, false)
			if err != nil {
				return nil, err
			}
			m, err := vm.New(g.G, g.Logits)
			if err != nil {
				return nil, err
			}
			mc = machine{g, m}
			built[n] = mc
		}
		if err := mc.g.SetX(x); err != nil {
			return nil, err
		}
		if err := mc.m.RunAll(); err != nil {
			return nil, err
		}
		mc.m.Reset()
		return values(mc.g.Logits)
	}
}
