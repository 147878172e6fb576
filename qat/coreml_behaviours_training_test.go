package qat

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// behaveCheckpoint: a state that is saved and loaded gives the same parameters and
// the same next step, the counter of the schedule included (which Core ML Tools'
// checkpoints leave out).
func behaveCheckpoint(t *testing.T) {
	cfg := qconfig.Config{QuantizeOutputs: true, Milestones: qconfig.MilestonesAt(0, 1, 3, 2), Global: &qconfig.Layer{Weights: qconfig.Tensor{Observer: "ema_min_max"}}}
	build := func() (*net, gorgonia.VM) {
		x := imageInput()
		n := prepare(t, cfg, x.Graph(), relu(batchNorm("bn", conv("c", x, 3, 3))))
		return n, n.machine()
	}
	one, m := build()
	one.step(m, 0)
	one.step(m, 1)
	var file bytes.Buffer
	if err := one.m.WriteState(&file); err != nil {
		t.Fatal(err)
	}
	two, m2 := build()
	if err := two.m.ReadState(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
		t.Fatal(err)
	}
	for i := 2; i < 5; i++ {
		one.step(m, i)
		two.step(m2, i)
	}
	a, b := one.snapshot(), two.snapshot()
	sameBits(t, "parameters", b.params, a.params)
	sameBits(t, "statistics", b.stats, a.stats)
	for i := range a.states {
		if b.states[i].Phase != a.states[i].Phase || !slices.Equal(b.states[i].Params.Scale, a.states[i].Params.Scale) ||
			!slices.EqualFunc(b.states[i].Observers, a.states[i].Observers, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) }) {
			t.Errorf("quantizer %s: %+v, want %+v", a.states[i].Name, b.states[i], a.states[i])
		}
	}
}

// behaveIdentity: while observing and quantizing are off, the network computes what
// it does without quantizers, and no quantizer changes.
func behaveIdentity(t *testing.T) {
	build := func(cfg qconfig.Config) *net {
		x := imageInput()
		return prepare(t, cfg, x.Graph(), conv("c2", relu(conv("c1", x, 3, 3)), 2, 3))
	}
	float, quiet := build(off()), build(qconfig.Config{QuantizeOutputs: true, Milestones: qconfig.MilestonesAt(5, 5, qconfig.Never, qconfig.Never)})
	before := quiet.states()
	for _, n := range []*net{float, quiet} {
		m := n.machineWithOutput()
		n.feed(0)
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	outputs := func(n *net) map[string][]float32 {
		return map[string][]float32{"y": floats(t, n.m.OutputNodes()[0].Value()), "cost": floats(t, n.cost.Value())}
	}
	sameBits(t, "results", outputs(quiet), outputs(float))
	sameBits(t, "gradients", gradients(t, quiet.m.Learnables()), gradients(t, float.m.Learnables()))
	for i, st := range quiet.states() {
		if st.Params != nil || len(st.Observers) != len(before[i].Observers) || !bytes.Equal(st.Observers[0], before[i].Observers[0]) {
			t.Errorf("quantizer %s changed: %+v", st.Name, st)
		}
	}
}

// behaveMilestones: the table of Core ML Tools' step(), equal entries, -1, and none.
func behaveMilestones(t *testing.T) {
	const (
		off  = fakequant.Off
		obs  = fakequant.Observing
		both = fakequant.ObservingAndQuantizing
		qnt  = fakequant.Quantizing
	)
	for text, want := range map[string]struct {
		phases []fakequant.Phase // after prepare, and after each step
		frozen []bool            // batch normalisation
	}{
		"[0, 1, 2, 3]":     {[]fakequant.Phase{off, obs, both, qnt, qnt}, []bool{false, false, false, false, true}},
		"[1, 1, 1, 1]":     {[]fakequant.Phase{off, off, qnt}, []bool{false, false, true}}, // the third entry comes after the first
		"[0, 0, -1, -1]":   {[]fakequant.Phase{off, both, both}, []bool{false, false, false}},
		"[-1, -1, -1, -1]": {[]fakequant.Phase{off, off, off}, []bool{false, false, false}},
		"null":             {[]fakequant.Phase{both, both, both}, []bool{false, false, false}},
	} {
		var c qconfig.Config
		if err := c.UnmarshalJSON([]byte(`{"global_config": {"milestones": ` + text + `}}`)); err != nil {
			t.Fatal(err)
		}
		x := imageInput()
		n := onlyPrepare(t, c, x.Graph(), relu(batchNorm("bn", conv("c", x, 3, 3))))
		for step, phase := range want.phases {
			if step > 0 {
				if err := n.m.Step(); err != nil {
					t.Fatal(err)
				}
			}
			for _, q := range n.m.plan.Quantizers() {
				if q.Phase() != phase {
					t.Errorf("%s, step %d: %s is %v, want %v", text, step, q.Name(), q.Phase(), phase)
				}
			}
			for _, st := range n.m.plan.Statistics {
				if st.Frozen() != want.frozen[step] {
					t.Errorf("%s, step %d: statistics frozen: %v", text, step, st.Frozen())
				}
			}
		}
	}
}

// behaveBatchNormFreeze: frozen statistics stand still, through evaluation too,
// while scale and shift go on learning. Theirs leaves batch normalisations that
// stand alone unfrozen; goqat freezes them too. A gamma of 0 divides nothing by zero.
func behaveBatchNormFreeze(t *testing.T) {
	x := imageInput()
	alone := batchNorm("alone", relu(batchNorm("folded", conv("c", x, 3, 3))))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true, Milestones: qconfig.MilestonesAt(0, 0, qconfig.Never, 1)}, x.Graph(), alone)
	for _, p := range n.m.Learnables() {
		if p.Name() == "folded.gamma" {
			floatsOf(p)[1] = 0
		}
	}
	m := n.machine()
	n.step(m, 0)
	live := n.snapshot()
	n.step(m, 1) // the second batch is the last with live statistics
	frozen := n.snapshot()
	if slices.Equal(live.stats["batch_norm_0.mean"], frozen.stats["batch_norm_0.mean"]) || len(live.stats) != 4 {
		t.Errorf("live statistics stand still: %v", live.stats)
	}
	if _, err := n.m.Predict(n.batch(5, 2)...); err != nil {
		t.Fatal(err)
	}
	n.step(m, 2)
	n.step(m, 3)
	after := n.snapshot()
	sameBits(t, "frozen statistics", after.stats, frozen.stats)
	for _, name := range []string{"folded.gamma", "folded.beta", "alone.gamma", "alone.beta", "c.weight"} {
		if slices.Equal(after.params[name], frozen.params[name]) {
			t.Errorf("%s has stopped learning", name)
		}
		for _, v := range after.params[name] {
			if v-v != 0 {
				t.Errorf("%s holds %v", name, v)
			}
		}
	}
	n.verify(n.freeze(), n.batch(9, 3))
}

// machineWithOutput is machine, and the output can be read after a run.
func (n *net) machineWithOutput() gorgonia.VM {
	n.t.Helper()
	m, err := n.m.Machine(append(n.m.OutputNodes(), n.cost)...)
	if err != nil {
		n.t.Fatal(err)
	}
	return m
}

// floatsOf is the memory of a parameter.
func floatsOf(n *gorgonia.Node) []float32 { return n.Value().Data().([]float32) }

// behaveFrozenConvBN: with frozen statistics the training graph computes, to the
// bit, what the folded network with quantized folded weights does. The folded
// weights are checked against the formula, in float64.
func behaveFrozenConvBN(t *testing.T) {
	x := imageInput()
	y := relu(batchNorm("bn", conv("c", x, 3, 3)))
	n := prepare(t, qconfig.Config{QuantizeOutputs: true, Milestones: qconfig.MilestonesAt(0, 0, 1, 1)}, x.Graph(), y)
	m := n.machineWithOutput()
	n.step(m, 0)
	n.step(m, 1)
	n.feed(5)
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	out, err := n.m.Predict(n.batch(5, 2)...)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "results", map[string][]float32{"y": floats(t, n.m.OutputNodes()[0].Value())}, map[string][]float32{"y": out[0]})
	fz := n.freeze()
	snap := n.snapshot()
	for _, tensor := range fz.Tensors {
		if tensor.Name != "c.weight" {
			continue
		}
		got, err := tensor.Values()
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range snap.params["c.weight"] {
			k := i / 18 // weights of one output channel
			folded := float64(w) * float64(snap.params["bn.gamma"][k]) / math.Sqrt(float64(snap.stats["batch_norm_0.variance"][k])+1e-5)
			// Half a step for the rounding to codes, and a hundredth of one for float32.
			if step := float64(tensor.Quant.Params.Scale[k]); math.Abs(float64(got[i])-folded) > 0.51*step {
				t.Errorf("weight %d is %v, folded by hand %v (step %v)", i, got[i], folded, step)
			}
		}
		return
	}
	t.Error("the frozen network has no c.weight")
}
