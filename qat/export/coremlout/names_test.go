package coremlout

import "testing"

func TestIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"conv1.weight": "conv1_weight", "x": "x", "": "var_", "1": "var_1", "_x": "var_x", "日本": "var__",
		"fp32": "fp32_", "state": "state_", "int4": "int4_", "FP32": "FP32", "a b\"\n/é": "a_b____", ".": "var_",
	} {
		if got := identifier(name); got != want || !identifierForm.MatchString(got) || reserved[got] {
			t.Errorf("identifier(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestUnique(t *testing.T) {
	n := names{}
	for _, c := range [][2]string{{"a", "a"}, {"a", "a_2"}, {"a_2", "a_2_2"}, {"a", "a_3"}, {"b", "b"}} {
		if got := n.unique(c[0]); got != c[1] {
			t.Errorf("unique(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

// FuzzIdentifier: whatever the name, the identifier is one.
func FuzzIdentifier(f *testing.F) {
	for _, s := range []string{"", "a", "1", "_", "fp32", "\xff", "ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := identifier(name); !identifierForm.MatchString(got) || reserved[got] {
			t.Errorf("identifier(%q) = %q", name, got)
		}
	})
}
