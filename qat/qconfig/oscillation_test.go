package qconfig

import (
	"math"
	"strings"
	"testing"
)

func TestOscillationConfig(t *testing.T) {
	const text = `global:
  oscillation: {track: true, momentum: 0.02, damping: 0.001, damping_steps: 500, freeze_threshold: 0.015}
types:
  matmul: {oscillation: null}
names:
  conv1:
    oscillation: {damping: 0.5}
`
	c, err := ReadYAML(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.YAML(); err != nil || string(got) != text {
		t.Errorf("%v, came back as\n%s", err, got)
	}
	all := Oscillation{Track: Yes, Momentum: 0.02, Damping: 0.001, DampingSteps: 500, FreezeThreshold: 0.015}
	own := all
	own.Damping = 0.5
	for _, tc := range []struct {
		name, kind string
		want       Oscillation
	}{{"conv0", "conv", all}, {"conv1", "conv", own}, {"fc", "matmul", Oscillation{}}} {
		if l, _ := c.Resolve(tc.name, tc.kind); l.Oscillation != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, l.Oscillation, tc.want)
		}
	}
	if l, _ := (Config{Global: &Layer{Oscillation: Oscillation{FreezeThreshold: 0.1}}}).Resolve("a", "b"); l.Oscillation != (Oscillation{Track: Yes, Momentum: 0.01, FreezeThreshold: 0.1}) {
		t.Errorf("defaults: %+v", l.Oscillation)
	}
	back, err := ReadYAML(strings.NewReader("global: {oscillation: null}\nnames: {a: {oscillation: {track: true}}}"))
	if err != nil {
		t.Fatal(err)
	}
	if l, _ := back.Resolve("a", "conv"); l.Oscillation != (Oscillation{Track: Yes, Momentum: 0.01}) {
		t.Errorf("switched on again: %+v", l.Oscillation)
	}
}

func TestOscillationConfigErrors(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"5", "global.oscillation: want keys with values"},
		{"{trak: true}", `did you mean "track"?`},
		{"{track: auto}", `unknown value "auto"`},
		{"{track: false, damping: 0.1}", "global.oscillation: track is false beside other settings"},
		{"{momentum: 0.1}", "momentum alone does nothing: set track: true, damping or freeze_threshold"},
		{"{track: true, momentum: 1}", "oscillation.momentum: 1: want a share above 0 and below 1"},
		{"{damping: 1.5}", "oscillation.damping: 1.5: want a share above 0 and at most 1"},
		{"{damping: 0}", "want above 0, or leave the key out"},
		{"{freeze_threshold: -0.1}", "oscillation.freeze_threshold: -0.1: want a share"},
		{"{track: true, damping_steps: 5}", "5 without damping: set damping too"},
		{"{damping: 0.1, damping_steps: 16777217}", "16777217: want 1 to 16777216"},
	} {
		_, err := ReadYAML(strings.NewReader("global: {oscillation: " + tc.text + "}"))
		wantConfigError(t, tc.text, err, tc.want)
	}
	for _, o := range []Oscillation{{Track: Yes, Momentum: math.NaN()}, {Damping: math.Inf(1)}, {FreezeThreshold: math.NaN()}, {Damping: 0.1, DampingSteps: -1}} {
		if err := (Config{Global: &Layer{Oscillation: o}}).Validate(); err == nil {
			t.Errorf("%+v is valid", o)
		}
	}
}
