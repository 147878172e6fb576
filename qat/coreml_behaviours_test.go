package qat

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"gorgonia.org/gorgonia"
)

// TestCoreMLBehaviour holds one test for each behaviour that makes a quantizer of
// Core ML Tools what it is, through goqat. Where goqat differs on purpose, the test
// holds goqat to what it documents instead, and says why.
func TestCoreMLBehaviour(t *testing.T) {
	for _, b := range []struct {
		name string
		test func(*testing.T)
	}{
		{"01_golden_table", behaveGoldenTable},
		{"02_round_half_even", behaveRounding},
		{"03_representable_data", behaveRepresentable},
		{"04_code_ranges", behaveCodeRanges},
		{"05_range_includes_zero", behaveZeroInRange},
		{"06_edge_tensors", behaveEdges},
		{"07_gradient_mask", behaveMask},
		{"08_learned_gradients", behaveLearned},
		{"09_observers", behaveObservers},
		{"10_checkpoint", behaveCheckpoint},
		{"11_flags_off_is_identity", behaveIdentity},
		{"12_milestones", behaveMilestones},
		{"13_batch_norm_freeze", behaveBatchNormFreeze},
		{"14_frozen_conv_bn", behaveFrozenConvBN},
		{"15_fusions", behaveFusions},
		{"16_relu_unsigned", behaveReLU},
		{"17_scheme_propagation", behavePropagation},
		{"18_shared_quantizers", behaveSharing},
		{"19_fixed_ranges", behaveFixed},
		{"20_dropout", behaveDropout},
		{"21_precedence_and_errors", behavePrecedence},
		{"22_weight_only_activation_only", behaveOneSided},
		{"23_finalize", behaveFinalize},
		{"24_blocks_threshold_packing", behaveBlocks},
		{"25_frozen_codes_identical", behaveVerify},
	} {
		t.Run(b.name, b.test)
	}
}

// fitted is a format with parameters for one tensor.
type fitted struct {
	spec   fakequant.Spec
	params fakequant.Params
}

// fit fits a format to a range.
func fit(t *testing.T, s fakequant.Spec, lo, hi float32, nonNegative bool) fitted {
	t.Helper()
	p, err := fakequant.ParamsFromRange(s, []float32{lo}, []float32{hi}, nonNegative)
	if err != nil {
		t.Fatal(err)
	}
	return fitted{s, p}
}

func (g fitted) codes(t *testing.T, x ...float32) []int32 {
	t.Helper()
	l, err := g.spec.Layout([]int{len(x)})
	if err != nil {
		t.Fatal(err)
	}
	q := make([]int32, len(x))
	if err := fakequant.Quantize(q, x, l, g.spec, g.params); err != nil {
		t.Fatal(err)
	}
	return q
}

func wantCodes(t *testing.T, what string, got []int32, want ...int32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: codes %v, want %v", what, got, want)
	}
}

// newQuantizer makes a quantizer with one site in the given phase.
func newQuantizer(t *testing.T, s fakequant.Spec, obs fakequant.Observer, phase fakequant.Phase) (*fakequant.Quantizer, *fakequant.Site) {
	t.Helper()
	q, err := fakequant.New("q", s, obs, false)
	if err != nil {
		t.Fatal(err)
	}
	q.SetPhase(phase)
	return q, q.NewSite()
}

// passSite passes x through a site.
func passSite(t *testing.T, s *fakequant.Site, x []float32, shape ...int) []float32 {
	t.Helper()
	if len(shape) == 0 {
		shape = []int{len(x)}
	}
	y := make([]float32, len(x))
	if err := s.Forward(y, x, shape); err != nil {
		t.Fatal(err)
	}
	return y
}

// relu6 is ReLU6 in the spelling that the reader knows.
func relu6(x *gorgonia.Node) *gorgonia.Node {
	over := must(gorgonia.Sub(x, gorgonia.NewConstant(float32(6))))
	return must(gorgonia.Sub(relu(x), relu(over)))
}

func leakyReLU(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.LeakyRelu(x, 0.125)) }

func addNodes(a, b *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Add(a, b)) }

// flatRows is [N, everything else].
func flatRows(x *gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.Reshape(x, []int{x.Shape()[0], x.Shape().TotalSize() / x.Shape()[0]}))
}

// imageInput is an input of two images of 2 channels.
func imageInput() *gorgonia.Node { return leaf(gorgonia.NewGraph(), "x", 2, 2, 4, 4) }

// activationQuantizers counts the quantizers of activations.
func (n *net) activationQuantizers() int { return len(n.m.plan.Order) }

// weightQuantizers counts those of weights.
func (n *net) weightQuantizers() int { return len(n.m.plan.Quantizers()) - len(n.m.plan.Order) }

// live takes the network through training steps, freezing and Verify.
func (n *net) live(steps int) {
	n.t.Helper()
	m := n.machine()
	for i := range steps {
		n.step(m, i)
	}
	n.verify(n.freeze(), n.batch(9, 3))
}
