package qat

import (
	"bytes"
	"testing"

	"github.com/goqat/goqat/observers"
	"github.com/goqat/goqat/qat/qconfig"
)

// Every observer that a config may name trains, saves and restores its state, and
// freezes to codes that agree, with 8 bits symmetric and with 4 bits affine.
func TestObserversEndToEnd(t *testing.T) {
	for _, kind := range observers.Kinds() {
		for _, set := range []qconfig.Tensor{{}, {Bits: 4, Scheme: qconfig.Affine}} {
			cfg := qconfig.Config{Global: &qconfig.Layer{Weights: set, Activations: set}}
			cfg.Global.Weights.Observer = kind
			if kind != observers.KindLatest && kind != observers.KindLatestMSE {
				cfg.Global.Activations.Observer = kind
			}
			t.Run(kind+string(set.Scheme), func(t *testing.T) {
				g, _, y := mlp()
				n := prepare(t, cfg, g, y)
				m := n.machine()
				for i := range 3 {
					n.step(m, i)
				}
				n.verify(n.freeze(), n.batch(5, 4))

				var saved bytes.Buffer
				if err := n.m.WriteState(&saved); err != nil {
					t.Fatal(err)
				}
				g, _, y = mlp()
				back := prepare(t, cfg, g, y)
				if err := back.m.ReadState(bytes.NewReader(saved.Bytes()), int64(saved.Len())); err != nil {
					t.Fatal(err)
				}
				again := back.machine()
				for i := 3; i < 5; i++ { // both go on alike
					n.step(m, i)
					back.step(again, i)
				}
				a, b := n.snapshot(), back.snapshot()
				sameBits(t, "parameter", b.params, a.params)
				for i, st := range n.states() {
					other := back.states()[i]
					for k := range st.Observers {
						if !bytes.Equal(st.Observers[k], other.Observers[k]) {
							t.Errorf("%s: %s, want %s", st.Name, other.Observers[k], st.Observers[k])
						}
					}
				}
			})
		}
	}
}
