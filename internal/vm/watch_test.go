package vm

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// TestWatch: each op that computes is reported once, with the kind of its computation,
// and the results are the same with and without a watcher.
func TestWatch(t *testing.T) {
	g := gorgonia.NewGraph()
	b := netBuilder{t, &net{g: g}}
	x := b.leaf("x", 2, 3)
	y := b.op(nn.Unary{Fn: "exp"}, b.relu(b.op(nn.Binary{Fn: "mul"}, x, b.leaf("w", 3))))
	stock := must(t)(gorgonia.Neg(y))
	m := compile(t, g, stock)
	runAll(t, m)
	plain := floats(t, stock.Value())
	var seen []string
	open := 0
	m.Watch(func(what string) func() {
		seen = append(seen, what)
		open++
		return func() { open-- }
	})
	runAll(t, m)
	want := []string{"mul", "relu", "exp", "stock neg"}
	if !slices.Equal(seen, want) || open != 0 {
		t.Errorf("saw %q, want %q; %d are still open", seen, want, open)
	}
	if got := floats(t, stock.Value()); !slices.Equal(got, plain) {
		t.Errorf("%v with a watcher, %v without", got, plain)
	}
	m.Watch(nil)
	runAll(t, m)
	if len(seen) != len(want) {
		t.Errorf("saw %q after the end", seen)
	}
}
