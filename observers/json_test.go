package observers

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

func TestJSONRoundTrip(t *testing.T) {
	stream := [][]float32{{0.1, -1e-45, 3e38, -3}, {1.0 / 3, float32(math.Copysign(0, -1)), -2.7, 16777217}}
	spec := fakequant.Spec{Bits: 4, Scheme: fakequant.Affine, NarrowRange: true}
	for _, o := range []fakequant.Observer{
		&MinMax{}, &Latest{}, &MovingAverage{}, &MovingAverage{Constant: 0.3}, &EMA{}, &EMA{Ratio: 1.0 / 3},
		&Histogram{}, &Histogram{Bins: 100}, &Percentile{}, &Percentile{Percentile: 200.0 / 3, Bins: MinBins},
		&MSE{}, &MSE{Spec: spec}, &KL{}, &KL{Bins: 333, Spec: fakequant.Spec{Unsigned: true}, NonNegative: true},
		&LatestMSE{}, &LatestMSE{Spec: spec},
	} {
		for i := 0; ; i++ { // also before any data
			saved, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			back := o.Fresh()
			mustObserve(t, back, []float32{7}) // must be replaced
			if err := json.Unmarshal(saved, back); err != nil {
				t.Fatalf("%s: %v", saved, err)
			}
			sameRange(t, o, back)
			if i == len(stream) {
				break
			}
			l := layout(t, 2, 4)
			for _, p := range []fakequant.Observer{o, back} { // both go on alike
				if err := p.Observe(stream[i], l); err != nil {
					t.Fatal(err)
				}
			}
			sameRange(t, o, back)
		}
	}
}

func sameRange(t *testing.T, a, b fakequant.Observer) {
	t.Helper()
	al, ah, aok := a.Range()
	bl, bh, bok := b.Range()
	if aok != bok || len(al) != len(bl) || len(ah) != len(bh) {
		t.Fatalf("%T: %v %v, want %v %v", a, bl, bok, al, aok)
	}
	for i := range al {
		if math.Float32bits(al[i]) != math.Float32bits(bl[i]) || math.Float32bits(ah[i]) != math.Float32bits(bh[i]) {
			t.Errorf("%T group %d: (%v, %v), want (%v, %v)", a, i, bl[i], bh[i], al[i], ah[i])
		}
	}
	if snapshot(t, a) != snapshot(t, b) {
		t.Errorf("%s, want %s", snapshot(t, b), snapshot(t, a))
	}
}

func TestJSONRestoresSettings(t *testing.T) {
	var m MovingAverage
	if err := json.Unmarshal([]byte(`{"kind":"moving_average_min_max","constant":0.5,"batches":0,"lo":[],"hi":[]}`), &m); err != nil {
		t.Fatal(err)
	}
	if m.Constant != 0.5 {
		t.Errorf("Constant %v", m.Constant)
	}
}

var hostile = []string{
	``, `null`, `{}`, `[]`, `3`, `{`,
	`{"kind":"min_max"}`,
	`{"kind":"latest","batches":1,"lo":[0],"hi":[1]}`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[1]} x`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[1]}{}`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[1],"more":1}`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[1],"constant":0.1}`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[1],"ratio":0.1}`,
	`{"kind":"min_max","batches":1,"lo":[0,1],"hi":[1]}`,
	`{"kind":"min_max","batches":1,"lo":[],"hi":[]}`,
	`{"kind":"min_max","batches":0,"lo":[0],"hi":[1]}`,
	`{"kind":"min_max","batches":null,"lo":[],"hi":[]}`,
	`{"kind":"min_max","batches":-1,"lo":[0],"hi":[1]}`,
	`{"kind":"min_max","batches":1.5,"lo":[0],"hi":[1]}`,
	`{"kind":"min_max","batches":18446744073709551615,"lo":[0],"hi":[1]}`,
	`{"kind":"min_max","batches":1,"lo":[2],"hi":[1]}`,
	`{"kind":"min_max","batches":1,"lo":[null],"hi":[1]}`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[null]}`,
	`{"kind":"min_max","batches":1,"lo":["NaN"],"hi":[1]}`,
	`{"kind":"min_max","batches":1,"lo":[NaN],"hi":[1]}`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[1e39]}`,
	`{"kind":"min_max","batches":1,"lo":[0],"hi":[1]`,
}

func TestJSONHostile(t *testing.T) {
	o := &MinMax{}
	mustObserve(t, o, []float32{-1, 2})
	before := snapshot(t, o)
	for _, text := range hostile {
		if err := o.UnmarshalJSON([]byte(text)); !errors.Is(err, fakequant.ErrData) {
			t.Errorf("%s: %v, want ErrData", text, err)
		}
		if after := snapshot(t, o); after != before {
			t.Fatalf("%s: state is now %s", text, after)
		}
	}
	m := &MovingAverage{Constant: 0.5}
	for _, c := range []string{"-1", "2", "0", `"x"`} {
		text := `{"kind":"moving_average_min_max","constant":` + c + `,"batches":1,"lo":[0],"hi":[1]}`
		if err := m.UnmarshalJSON([]byte(text)); !errors.Is(err, fakequant.ErrData) || m.Constant != 0.5 || m.Batches() != 0 {
			t.Errorf("%s: %v, Constant %v", text, err, m.Constant)
		}
	}
}

// A histogram of -1, 0 and 2 with 16 bins: they are 1/8 wide, from -8 to 16.
const histState = `"batches":1,"lo":[-1],"hi":[2],"counts":[[1,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1]]`

// hostileHist are histogram states in which one thing is wrong.
func hostileHist() []string {
	swap := func(old, text string) string {
		return `{"kind":"mse","bins":16,"codes":{"bits":8},` + strings.Replace(histState, old, text, 1) + `}`
	}
	head := func(text string) string { return `{"kind":"mse",` + text + histState + `}` }
	return []string{
		head(`"bins":16,`),                                     // no codes
		head(`"bins":16,"codes":{},`),                          //
		head(`"bins":16,"codes":null,`),                        //
		head(`"bins":16,"codes":{"bits":9},`),                  //
		head(`"bins":16,"codes":{"bits":8,"more":1},`),         //
		head(`"bins":16,"codes":{"bits":8,"affine":null},`),    //
		head(`"bins":16,"codes":{"bits":8},"percentile":99,`),  // a setting of another kind
		head(`"bins":16,"codes":{"bits":8},"constant":0.5,`),   //
		head(`"codes":{"bits":8},`),                            // the default bins want other counts
		head(`"bins":15,"codes":{"bits":8},`),                  //
		head(`"bins":0,"codes":{"bits":8},`),                   //
		head(`"bins":-16,"codes":{"bits":8},`),                 //
		head(`"bins":1e99,"codes":{"bits":8},`),                //
		head(`"bins":9223372036854775807,"codes":{"bits":8},`), //
		swap(`,1]]`, `,0,1]]`),                                 // one count too many
		swap(`0,0,1]]`, `0,1]]`),                               // one too few
		swap(`[[1,`, `[[0,`),                                   // the smallest value was not counted
		swap(`1]]`, `0]]`),                                     // the largest was not
		swap(`[[1,`, `[[-1,`),                                  //
		swap(`[[1,`, `[[1.5,`),                                 //
		swap(`[[1,`, `[[null,`),                                //
		swap(`[[1,`, `[[18446744073709551615,`),                //
		swap(`[[1,`, `[[1],[1,`),                               // more histograms than groups
		swap(`"counts"`, `"batches":0,"counts"`),               //
		swap(`"lo":[-1]`, `"lo":[3]`),                          //
		swap(`"lo":[-1],"hi":[2]`, `"lo":[-3e38],"hi":[3e38]`), //
		swap(`"lo":[-1],"hi":[2]`, `"lo":[],"hi":[]`),          //
		swap(`"lo":[-1],"hi":[2]`, `"lo":[-1,-1],"hi":[2,2]`),  //
		`{"kind":"mse","codes":{"bits":8},"batches":1,"lo":[-1],"hi":[2]}`,
		`{"kind":"mse","codes":{"bits":8},"batches":0,"lo":[],"hi":[],"counts":[[1]]}`,
		`{"kind":"histogram","codes":{"bits":8},"batches":0,"lo":[],"hi":[]}`,
		`{"kind":"kl","batches":0,"lo":[],"hi":[]}`,
		`{"kind":"percentile","percentile":0,"batches":0,"lo":[],"hi":[]}`,
		`{"kind":"percentile","percentile":101,"batches":0,"lo":[],"hi":[]}`,
		`{"kind":"percentile","percentile":49,"batches":0,"lo":[],"hi":[]}`,
		`{"kind":"latest_mse","batches":1,"lo":[0],"hi":[1]}`,
		`{"kind":"latest_mse","bins":16,"codes":{"bits":8},"batches":1,"lo":[0],"hi":[1]}`,
		`{"kind":"latest_mse","codes":{"bits":8},"batches":1,"lo":[0],"hi":[1],"counts":[[1]]}`,
	}
}

func TestJSONHostileHistograms(t *testing.T) {
	good := `{"kind":"mse","bins":16,"codes":{"bits":8},` + histState + `}`
	if err := new(MSE).UnmarshalJSON([]byte(good)); err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	for _, kind := range Kinds() {
		o := mustNew(t, kind)
		mustObserve(t, o, []float32{-1, 2})
		before := snapshot(t, o)
		for _, text := range hostileHist() {
			if err := o.UnmarshalJSON([]byte(text)); !errors.Is(err, fakequant.ErrData) {
				t.Errorf("%s: %s: %v, want ErrData", kind, text, err)
			}
			if after := snapshot(t, o); after != before {
				t.Fatalf("%s: %s: state is now %s", kind, text, after)
			}
		}
	}
}

func TestJSONRestoresHistogramSettings(t *testing.T) {
	o := &MSE{}
	text := `{"kind":"mse","bins":16,"codes":{"bits":4,"unsigned":true,"narrow_range":true,"affine":true,"non_negative":true},` + histState + `}`
	if err := json.Unmarshal([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	want := fakequant.Spec{Bits: 4, Unsigned: true, NarrowRange: true, Scheme: fakequant.Affine}
	if o.Bins != 16 || o.Spec != want || !o.NonNegative || snapshot(t, o) != text {
		t.Errorf("%+v saves as %s", o, snapshot(t, o))
	}
}

func TestJSONTruncated(t *testing.T) {
	for _, kind := range Kinds() {
		o := mustNew(t, kind)
		mustObserve(t, o, []float32{-1, 2})
		text := snapshot(t, o)
		for n := range text {
			if err := mustNew(t, kind).UnmarshalJSON([]byte(text[:n])); err == nil {
				t.Errorf("accepted %s", text[:n])
			}
		}
		for _, other := range Kinds() {
			err := mustNew(t, other).UnmarshalJSON([]byte(text))
			if (err == nil) != (other == kind) {
				t.Errorf("%s restored from %s: %v", other, kind, err)
			}
		}
	}
}

// FuzzUnmarshal: whatever is accepted is a usable state that saves and restores
// to itself; whatever is not leaves the observer as it was.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	for _, kind := range Kinds() {
		f.Add(strings.Replace(`{"kind":"K","batches":2,"lo":[-1,0],"hi":[2,0.1]}`, "K", kind, 1))
	}
	f.Add(`{"kind":"ema_min_max","ratio":0.5,"batches":2,"lo":[-1],"hi":[2]}`)
	for _, text := range hostileHist() {
		f.Add(text)
	}
	f.Add(`{"kind":"histogram","bins":16,` + histState + `}`)
	f.Add(`{"kind":"percentile","bins":16,"percentile":90,` + histState + `}`)
	f.Add(`{"kind":"mse","bins":16,"codes":{"bits":4,"affine":true},` + histState + `}`)
	f.Add(`{"kind":"kl","bins":16,"codes":{"bits":2,"unsigned":true,"non_negative":true},` + histState + `}`)
	f.Add(`{"kind":"latest_mse","codes":{"bits":3},"batches":2,"lo":[-1,0],"hi":[2,0.1]}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range Kinds() {
			o := mustNew(t, kind)
			before := snapshot(t, o)
			if err := o.UnmarshalJSON([]byte(text)); err != nil {
				if snapshot(t, o) != before {
					t.Fatalf("%s: state is now %s after %v", kind, snapshot(t, o), err)
				}
				continue
			}
			lo, hi, ok := o.Range()
			if ok {
				if _, err := fakequant.ParamsFromRange(fakequant.Spec{}, lo, hi, false); err != nil {
					t.Fatalf("%s: accepted a range that gives %v", kind, err)
				}
			}
			if err := o.Observe([]float32{-3e38, 0, 1}, layout(t, 1, 3)); ok && len(lo) == 1 && err != nil {
				t.Fatalf("%s: the accepted state cannot go on: %v", kind, err)
			}
			back := mustNew(t, kind)
			if err := back.UnmarshalJSON([]byte(snapshot(t, o))); err != nil {
				t.Fatal(err)
			}
			if snapshot(t, back) != snapshot(t, o) {
				t.Fatalf("%s: %s came back as %s", kind, snapshot(t, o), snapshot(t, back))
			}
		}
	})
}
