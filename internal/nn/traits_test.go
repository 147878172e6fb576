package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTraitsAreTrue checks on random inputs what the table says of every layer.
func TestTraitsAreTrue(t *testing.T) {
	for _, c := range layerCases() {
		tr := TraitsOf(c.op)
		in := narrow(c.inputs(1))
		out := run(t, c.op, in)
		x := in[0].Data
		if tr.Moves {
			for _, v := range out.Data {
				if !slices.ContainsFunc(in, func(x Tensor[float32]) bool { return slices.Contains(x.Data, v) }) {
					t.Errorf("%s moves values, but %v is none of its input", c.name, v)
				}
			}
		}
		if tr.Copies || tr.Identity {
			wantSame(t, c.name+": a copy", out.Data, x)
		}
		if tr.Relayout {
			a, b := slices.Sorted(slices.Values(out.Data)), slices.Sorted(slices.Values(x))
			wantSame(t, c.name+": all elements", a, b)
		}
		if lo := slices.Min(out.Data); tr.NonNegative && lo < 0 {
			t.Errorf("%s is not negative, but gives %v", c.name, lo)
		}
		if f := tr.Fixed; f != (Interval{}) && (float64(slices.Min(out.Data)) < f.Lo || float64(slices.Max(out.Data)) > f.Hi) {
			t.Errorf("%s stays in %v, but gives %v to %v", c.name, f, slices.Min(out.Data), slices.Max(out.Data))
		}
		for i, v := range x {
			if want := float32(min(max(float64(v), tr.Limits.Lo), tr.Limits.Hi)); tr.Clips && out.Data[i] != want {
				t.Errorf("%s of %v is %v, its limits say %v", c.name, v, out.Data[i], want)
			}
		}
		checkScaled(t, c, tr, in, out)
		checkIgnored(t, c, tr, in, out)
	}
}

// checkScaled doubles the input, which rounds nothing.
func checkScaled(t *testing.T, c layerCase, tr Traits, in []Tensor[float32], out Tensor[float32]) {
	t.Helper()
	if !tr.Homogeneous && !tr.ChannelsApart {
		return
	}
	twice := Tensor[float32]{Shape: in[0].Shape}
	for _, v := range in[0].Data {
		twice.Data = append(twice.Data, 2*v)
	}
	got := run(t, c.op, []Tensor[float32]{twice})
	for i, v := range got.Data {
		if v != 2*out.Data[i] {
			t.Errorf("%s of twice the input is %v, want %v", c.name, v, 2*out.Data[i])
		}
	}
}

// checkIgnored spoils what Backward is said not to look at.
func checkIgnored(t *testing.T, c layerCase, tr Traits, in []Tensor[float32], out Tensor[float32]) {
	t.Helper()
	dout := spread[float32](rand.New(rand.NewPCG(3, 4)), out.Shape, false)
	want := back(t, c.op, in, out, dout)
	all := in
	in = slices.Clone(in)
	spoilt := func(x Tensor[float32]) Tensor[float32] {
		return Tensor[float32]{Shape: x.Shape, Data: slices.Repeat([]float32{float32(math.NaN())}, len(x.Data))}
	}
	if tr.IgnoresOutput {
		out = spoilt(out)
	}
	for i, x := range in {
		if tr.IgnoresInputs || tr.Weights != nil && i == 2 {
			in[i] = spoilt(x)
		}
	}
	for i, g := range back(t, c.op, in, out, dout) {
		wantSame(t, c.name+": gradient", g.Data, want[i].Data)
	}
	for i, only := range tr.OnlyForOther {
		if !only {
			continue
		}
		in, grads := slices.Clone(all), make([]Tensor[float32], len(all))
		in[i], grads[i] = spoilt(in[i]), like(all)[i]
		if err := Backward(c.op, grads, in, out, dout); err != nil {
			t.Fatal(err)
		}
		wantSame(t, c.name+": its own gradient", grads[i].Data, want[i].Data)
	}
}

// TestMoveCodes compares moved codes with moved numbers.
func TestMoveCodes(t *testing.T) {
	for _, c := range layerCases() {
		var in []Tensor[float32]
		var codes []Tensor[uint8]
		r := rand.New(rand.NewPCG(5, 6))
		for _, s := range c.in {
			x, u := Tensor[float32]{Shape: s}, Tensor[uint8]{Shape: s}
			for range product(s) {
				u.Data = append(u.Data, uint8(r.IntN(256)))
				x.Data = append(x.Data, float32(u.Data[len(u.Data)-1]))
			}
			in, codes = append(in, x), append(codes, u)
		}
		shape, err := OutShape(c.op, c.in)
		if err != nil {
			t.Fatal(err)
		}
		out := Tensor[uint8]{Shape: shape, Data: make([]uint8, product(shape))}
		if moved := MoveCodes(0, c.op, out, codes); moved != TraitsOf(c.op).Moves {
			t.Errorf("%s: codes moved: %t", c.name, moved)
			continue
		} else if !moved {
			continue
		}
		for i, v := range run(t, c.op, in).Data {
			if float32(out.Data[i]) != v {
				t.Fatalf("%s: code %d is %d, the number %v", c.name, i, out.Data[i], v)
			}
		}
	}
}

// TestTraitsOfNothing: what is no layer has no traits.
func TestTraitsOfNothing(t *testing.T) {
	for _, op := range []Op{nil, strange{}, &Conv{}} {
		if got := TraitsOf(op); got != (Traits{}) {
			t.Errorf("%T: %+v", op, got)
		}
		if MoveCodes(0, op, Tensor[uint8]{}, nil) {
			t.Errorf("%T moved codes", op)
		}
		if _, _, err := BatchAxis(op, Growth{In: []Batched{{}}}); err == nil {
			t.Errorf("%T has a batch axis", op)
		}
	}
	if lim, ok := ClipOf(nil); !ok || lim != Everything {
		t.Errorf("no activation clips to %v, %t", lim, ok)
	}
	if _, ok := ClipOf(&Unary{Fn: "tanh"}); ok {
		t.Error("tanh is said to clip")
	}
}
