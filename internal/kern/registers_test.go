package kern

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRegisters: kernels for AVX2 use its sixteen registers. The generator takes up to 32
// without a word, and the assembler then encodes instructions of AVX-512, which the
// processors that these kernels are for do not have.
func TestRegisters(t *testing.T) {
	files, err := filepath.Glob("*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	high := regexp.MustCompile(`\b[XYZ](1[6-9]|2\d|3[01])\b|\bZ\d|\bK[0-7]\b`)
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, fn := range strings.Split(string(text), "\nTEXT ")[1:] {
			name := fn[:strings.IndexByte(fn, '(')]
			if !strings.HasSuffix(name, "AVX2") {
				continue
			}
			seen++
			if use := high.FindString(fn); use != "" {
				t.Errorf("%s: %s uses %s", file, name, use)
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d kernels found", seen)
	}
}
