package words

import "testing"

func TestDidYouMean(t *testing.T) {
	layers := []string{"conv1", "conv2", "block1.conv", "fc"}
	for _, tc := range []struct{ word, want string }{
		{"conv3", `did you mean "conv1"?`}, // equally close: alphabetical
		{"Conv2", `did you mean "conv2"?`},
		{"cnov2", `did you mean "conv2"?`}, // swapped neighbours count once
		{"fd", `did you mean "fc"?`},
		{"gd", ""},
		{"blok1.cnov", `did you mean "block1.conv"?`},
		{"", ""},
		{"softmax", ""},
		{string(make([]byte, 100_000)), ""},
	} {
		if got := DidYouMean(tc.word, layers); got != tc.want {
			t.Errorf("didYouMean(%.20q) = %q, want %q", tc.word, got, tc.want)
		}
	}
	if got := DidYouMean("conv", nil); got != "" {
		t.Errorf("without options: %q", got)
	}
}
