package train

import (
	"fmt"
	"math/rand/v2"

	"github.com/goqat/goqat/internal/kern"
)

// Data is a labelled data set: row i is X[i*n:(i+1)*n] with label Y[i], where n is the
// product of Shape.
type Data struct {
	X       []float32 // rows one after the other; the caller keeps ownership
	Y       []int     // labels, 0 to Classes-1
	Shape   []int     // of one row, such as {1, 8, 8} or {784}
	Classes int       // number of classes
}

// Len returns the number of rows.
func (d Data) Len() int { return len(d.Y) }

// RowSize returns the number of elements of a row.
func (d Data) RowSize() int {
	n := 1
	for _, v := range d.Shape {
		n *= v
	}
	return n
}

// Check looks for everything that would make training fail or lie: no rows, a
// length that does not match, labels out of range, NaN and infinities. Errors
// wrap ErrData (or ErrConfig for Shape and Classes) and name the row.
func (d Data) Check() error {
	for _, v := range d.Shape {
		if v < 1 {
			return fmt.Errorf("train: %w: row shape %v: every size must be at least 1", ErrConfig, d.Shape)
		}
	}
	n := d.RowSize()
	switch {
	case d.Classes < 1:
		return fmt.Errorf("train: %w: %d classes: set Classes", ErrConfig, d.Classes)
	case len(d.Y) == 0:
		return fmt.Errorf("train: %w: no rows", ErrData)
	case len(d.X)%n != 0 || len(d.X)/n != len(d.Y):
		return fmt.Errorf("train: %w: %d elements for %d labels, want %d per row of shape %v", ErrData, len(d.X), len(d.Y), n, d.Shape)
	}
	for i, y := range d.Y {
		if y < 0 || y >= d.Classes {
			return fmt.Errorf("train: %w: row %d: label %d is not in 0..%d", ErrData, i, y, d.Classes-1)
		}
	}
	if i := kern.NotFinite(d.X); i >= 0 {
		return fmt.Errorf("train: %w: row %d, element %d is %v: clean the data", ErrData, i/n, i%n, d.X[i])
	}
	return nil
}

// Slice returns rows lo to hi-1, sharing memory.
func (d Data) Slice(lo, hi int) Data {
	n := d.RowSize()
	d.X, d.Y = d.X[lo*n:hi*n], d.Y[lo:hi]
	return d
}

// Batches deals out shuffled batches of a fixed size. The order of an epoch
// depends on the seed and the epoch's number alone, so a run can be repeated, or
// resumed at any step. A graph has a fixed batch size; the rows of an epoch that
// do not fill a last batch are left out of it, other ones in each epoch.
type Batches struct {
	data  Data
	size  int
	seed  uint64
	order []int
	epoch int // the epoch that order belongs to
}

// NewBatches checks the data. A batch size below 1 or above the number of rows is
// an error that wraps ErrConfig.
func NewBatches(d Data, size int, seed uint64) (*Batches, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	if size < 1 || size > d.Len() {
		return nil, fmt.Errorf("train: %w: batch of %d from %d rows: use 1 to %d", ErrConfig, size, d.Len(), d.Len())
	}
	return &Batches{data: d, size: size, seed: seed, order: make([]int, d.Len()), epoch: -1}, nil
}

// Size returns the rows of a batch.
func (b *Batches) Size() int { return b.size }

// PerEpoch returns the number of batches of an epoch.
func (b *Batches) PerEpoch() int { return b.data.Len() / b.size }

// Load copies the batch of a global step (from 0, through all epochs) into x and y,
// which have Size()*RowSize() and Size() elements. It panics on a negative step
// or shorter slices.
func (b *Batches) Load(step int, x []float32, y []int) {
	epoch, i := step/b.PerEpoch(), step%b.PerEpoch()
	if epoch != b.epoch {
		b.shuffle(epoch)
	}
	n := b.data.RowSize()
	for k, row := range b.order[i*b.size : (i+1)*b.size] {
		copy(x[k*n:(k+1)*n], b.data.X[row*n:(row+1)*n])
		y[k] = b.data.Y[row]
	}
}

// shuffle is Fisher and Yates' on the rows in order, from a generator of its own.
func (b *Batches) shuffle(epoch int) {
	for i := range b.order {
		b.order[i] = i
	}
	// PCG's numbers are fixed by its specification; rand.Shuffle's use of them is not.
	rng := rand.NewPCG(b.seed, uint64(epoch))
	for i := len(b.order) - 1; i > 0; i-- {
		j := int(rng.Uint64() % uint64(i+1)) // the bias is below 2^-32 for any data that fits
		b.order[i], b.order[j] = b.order[j], b.order[i]
	}
	b.epoch = epoch
}
