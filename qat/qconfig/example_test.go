package qconfig_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/goqat/goqat/qat/qconfig"
)

// A config in YAML: 4-bit weights in general, one layer in 8 bits, another left
// float; ranges from the first batch on, rounding from the tenth.
func ExampleConfig() {
	cfg, err := qconfig.ReadYAML(strings.NewReader(`
global:
  weights: {bits: 4, granularity: per_channel}
  activations: {bits: 8, observer: moving_average_min_max}
names:
  stem: {weights: {bits: 8}}
  head: null
milestones: [0, 10, 100, 100]
`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.Global.Weights.Bits, cfg.Names["stem"].Weights.Bits, cfg.Names["head"] == nil, cfg.Milestones.Quantize)
	_, err = qconfig.ReadYAML(strings.NewReader("global: {weights: {bitz: 4}}"))
	fmt.Println(err)
	// Output:
	// 4 8 true 10
	// invalid config: line 1, column 20: global.weights.bitz: unknown key: did you mean "bits"?
}
