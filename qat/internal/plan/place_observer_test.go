package plan

import (
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
)

// An observer gets its constant and the format, and so do those of its sites.
func TestNewObserver(t *testing.T) {
	spec := fakequant.Spec{Bits: 4, Unsigned: true, Scheme: fakequant.Affine}
	const codes = `"codes":{"bits":4,"unsigned":true,"affine":true,"non_negative":true},`
	for _, tc := range []struct {
		observer string
		constant float64
		want     string
	}{
		{"moving_average_min_max", 0.5, `"constant":0.5,`},
		{"ema_min_max", 0.5, `"ratio":0.5,`},
		{"percentile", 99.9, `"percentile":99.9,`},
		{"percentile", 0, `"percentile":99.99,`},
		{"histogram", 64, `"bins":64,`},
		{"mse", 64, `"bins":64,` + codes},
		{"mse", 0, `"bins":2048,` + codes},
		{"kl", 64, `"bins":64,` + codes},
		{"latest_mse", 0, codes},
		{"latest", 0, ``},
		{"min_max", 0, ``},
	} {
		set := qconfig.Tensor{Observer: tc.observer, ObserverConstant: tc.constant}
		layer, _ := qconfig.Config{Global: &qconfig.Layer{Weights: set}}.Resolve("", "conv")
		obs, err := newObserver(layer.Weights, spec, true)
		if err != nil {
			t.Fatal(err)
		}
		got, err := obs.Fresh().MarshalJSON()
		if want := `{"kind":"` + tc.observer + `",` + tc.want + `"batches":0,"lo":[],"hi":[]}`; err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", tc.observer, got, err, want)
		}
	}
}
