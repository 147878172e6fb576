package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Which layers gather and scatter single elements, where the places are known?

// elementPlaces are the flat places that GatherElements and ScatterElements speak of: those of
// the indices but along one axis, where the index is the place.
func (n *node) elementPlaces(shape []int) (at, of []int, err error) {
	a, err := axis(n.int("axis", 0), len(shape))
	if err != nil {
		return nil, nil, err
	}
	c, index, err := n.places(1, func(int) int { return shape[a] })
	if err != nil {
		return nil, nil, err
	}
	fits := len(c.shape) == len(shape)
	for k := 0; fits && k < len(shape); k++ {
		fits = k == a || c.shape[k] <= shape[k]
	}
	if !fits {
		return nil, nil, fmt.Errorf("%w: indices of shape %v in shape %v along axis %d", ErrFormat, c.shape, shape, a)
	}
	own, theirs := stridesOf(shape), stridesOf(c.shape)
	for k := range index {
		flat := strided(k, c.shape, own)
		along := k / theirs[a] % c.shape[a]
		index[k] = flat + (index[k]-along)*own[a]
	}
	return index, c.shape, nil
}

// rowPlaces are the flat places that GatherND and ScatterND speak of: each row of the indices
// is the place of a part of the tensor, behind so many axes of a batch.
func (n *node) rowPlaces(shape []int, batch int) (at, of []int, err error) {
	v := n.operand(1)
	c, err := n.b.constant(v)
	if err != nil {
		return nil, nil, err
	}
	r := len(c.shape)
	if r < 1 || batch < 0 || batch >= r || c.shape[r-1] < 1 || batch+c.shape[r-1] > len(shape) || !slices.Equal(c.shape[:batch], shape[:batch]) {
		return nil, nil, fmt.Errorf("%w: indices of shape %v in shape %v, %d axes of a batch", ErrFormat, c.shape, shape, batch)
	}
	depth := c.shape[r-1]
	_, index, err := n.places(1, func(k int) int { return shape[batch+k%depth] })
	if err != nil {
		return nil, nil, err
	}
	own := stridesOf(shape)
	part := product(shape[batch+depth:])
	rows := len(index) / depth
	if err := n.b.spend(rows * part); err != nil {
		return nil, nil, err
	}
	perBatch := rows / max(1, product(shape[:batch]))
	for i := range rows {
		start := i / max(1, perBatch) * product(shape[batch:])
		for k, v := range index[i*depth : (i+1)*depth] {
			start += v * own[batch+k]
		}
		for k := range part {
			at = append(at, start+k)
		}
	}
	return at, slices.Concat(c.shape[:r-1], shape[batch+depth:]), nil
}

// picked are the places of a GatherElements or a GatherND.
func (n *node) picked(shape []int) (at, of []int, err error) {
	if err := n.arity(2, 2); err != nil {
		return nil, nil, err
	}
	if n.op == "GatherND" {
		return n.rowPlaces(shape, n.int("batch_dims", 0))
	}
	return n.elementPlaces(shape)
}

func gatherPlaces(n *node) error {
	x, err := n.data(0)
	if err != nil {
		return err
	}
	at, of, err := n.picked(x.Shape())
	if err != nil {
		return err
	}
	y, err := n.takenFlat([]*gorgonia.Node{x}, at, of)
	return n.setWhole(y, err)
}

func foldPlaces(n *node) (*constant, error) {
	c, err := n.known(0)
	if err != nil {
		return nil, err
	}
	at, of, err := n.picked(c.shape)
	if err != nil {
		return nil, err
	}
	return n.copied(c, of, func(i int) int { return at[i] })
}

// takenFlat picks elements of tensors, counted on from one to the next, into a shape. Where
// each element of the first axis does the same with its own, the batch stays open.
func (n *node) takenFlat(in []*gorgonia.Node, at, of []int) (*gorgonia.Node, error) {
	if len(at) == 0 {
		return nil, fmt.Errorf("%w: no elements", ErrUnsupported)
	}
	rows := n.rowsAlike(in, at, of)
	whole := make([]*gorgonia.Node, len(in))
	for i, x := range in {
		var err error
		if whole[i], err = n.apply(nn.Reshape{Shape: []int{rows, product(x.Shape()) / rows}}, x); err != nil {
			return nil, err
		}
	}
	joined := whole[0]
	if len(whole) > 1 {
		var err error
		if joined, err = n.apply(nn.Concat{Axis: 1}, whole...); err != nil {
			return nil, err
		}
	}
	// The places within a row, in which the tensors lie one behind the other.
	index := make([]int, len(at)/rows)
	for k := range index {
		flat, before := at[k], 0
		for _, x := range in {
			size := product(x.Shape())
			if flat < size {
				break
			}
			flat, before = flat-size, before+size/rows
		}
		index[k] = before + flat
	}
	y, err := n.taken(joined, 1, index)
	if err != nil {
		return nil, err
	}
	return n.apply(nn.Reshape{Shape: of}, y)
}

// rowsAlike is the size of the first axis if all its elements pick alike, else 1.
func (n *node) rowsAlike(in []*gorgonia.Node, at, of []int) int {
	if len(of) == 0 || of[0] < 2 {
		return 1
	}
	rows := of[0]
	for _, x := range in {
		if s := x.Shape(); len(s) == 0 || s[0] != rows {
			return 1
		}
	}
	each := len(at) / rows
	for k, flat := range at {
		first, size := at[k%each], 0
		for _, x := range in { // the tensor that holds both
			size = product(x.Shape())
			if first < size {
				break
			}
			first, flat = first-size, flat-size
		}
		if row := size / rows; first >= row || flat != first+k/each*row {
			return 1
		}
	}
	return rows
}

// scatter puts updates at known places: each element of the result is one of the tensor or of
// the updates. With a reduction they are computed with it, in rounds where places repeat.
func scatter(n *node) error {
	if err := n.arity(3, 3); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	u, err := n.data(2)
	if err != nil {
		return err
	}
	var at, of []int
	if n.op == "ScatterND" {
		at, of, err = n.rowPlaces(x.Shape(), 0)
	} else {
		at, of, err = n.elementPlaces(x.Shape())
	}
	if err != nil {
		return err
	}
	if !slices.Equal(of, []int(u.Shape())) {
		return fmt.Errorf("%w: updates of shape %v, want %v", ErrFormat, u.Shape(), of)
	}
	size := product(x.Shape())
	if err := n.b.spend(size); err != nil {
		return err
	}
	index := make([]int, size)
	for i := range index {
		index[i] = i
	}
	reduction := n.string("reduction", "none")
	if reduction == "none" {
		for k, to := range at {
			index[to] = size + k
		}
		y, err := n.takenFlat([]*gorgonia.Node{x, u}, index, x.Shape())
		return n.setWhole(y, err)
	}
	fn, ok := map[string]string{"add": "add", "mul": "mul", "max": "max", "min": "min"}[reduction]
	if !ok {
		return fmt.Errorf("%w: reduction %q", ErrFormat, reduction)
	}
	return n.scattered(x, u, fn, at)
}

// maxRounds bounds how often a place may repeat in a scatter that computes.
const maxRounds = 16

// scattered computes x with the updates, of which each round takes one for a place at most.
// The others get a neutral number, or their own, which max and min do not mind.
func (n *node) scattered(x, u *gorgonia.Node, fn string, at []int) error {
	size, updates := product(x.Shape()), product(u.Shape())
	var rounds [][]int
	seen := make([]int, size)
	for k, to := range at {
		if seen[to] == len(rounds) {
			if len(rounds) == maxRounds {
				return fmt.Errorf("%w: a place that repeats more than %d times", ErrUnsupported, maxRounds)
			}
			if err := n.b.spend(size); err != nil {
				return err
			}
			none := make([]int, size)
			for i := range none {
				if none[i] = i; fn == "add" || fn == "mul" {
					none[i] = updates
				}
			}
			rounds = append(rounds, none)
		}
		from := k
		if fn == "max" || fn == "min" {
			from += size
		}
		rounds[seen[to]][to] = from
		seen[to]++
	}
	y := x
	for _, index := range rounds {
		in := []*gorgonia.Node{x, u}
		if fn == "add" || fn == "mul" {
			neutral := n.b.constantNode(n.label+" neutral", []int{1, 1}, []float32{map[string]float32{"add": 0, "mul": 1}[fn]})
			if neutral == nil {
				return fmt.Errorf("%w: it cannot be told from another constant", ErrUnsupported)
			}
			in = []*gorgonia.Node{u, neutral}
		}
		part, err := n.takenFlat(in, index, x.Shape())
		if err != nil {
			return err
		}
		if y, err = n.apply(nn.Binary{Fn: fn}, y, part); err != nil {
			return err
		}
	}
	return n.setMoved(x, y)
}
