package direction

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/goqat/goqat/"

// rules say what a package must not depend on, directly or not. A trailing slash
// means the package and all below it.
var rules = []struct {
	of     string   // packages under this path
	except []string // but not these
	not    []string
	why    string
}{
	{of: "internal/", not: []string{"fakequant", "observers", "qat", "models", "train", "examples/"}, why: "internal packages are the ground"},
	{of: "internal/kern", not: []string{"internal/nn", "gorgonia.org/"}, why: "kernels know slices only"},
	{of: "internal/nn", not: []string{"gorgonia.org/"}, why: "layer kinds know no graph"},
	{of: "internal/vm", not: []string{"internal/nn", "internal/ops", "internal/graph/"}, why: "the machine runs any Gorgonia graph"},
	{of: "internal/mem", not: []string{"internal/"}, why: "it says what ops and machines agree on"},
	{of: "internal/ops", not: []string{"internal/vm", "internal/graph/"}, why: "ops know neither machines nor networks"},
	{of: "internal/safetensors", not: []string{"gorgonia.org/"}, why: "files know no graph"},
	{of: "fakequant", except: []string{"fakequant/fqop"}, not: []string{"gorgonia.org/"}, why: "numbers know no graph"},
	{of: "fakequant/", not: []string{"observers", "qat", "models", "train", "examples/"}, why: "fakequant is below them"},
	{of: "observers", not: []string{"qat", "models", "train", "examples/", "gorgonia.org/"}, why: "observers estimate ranges only"},
	{of: "qat/", not: []string{"models", "train", "examples/"}, why: "quantizing needs no particular network or loop"},
	{of: "qat/frozen", not: []string{"gorgonia.org/", "qat", "observers"}, why: "the frozen network runs without Gorgonia"},
	{of: "qat/export/", not: []string{"gorgonia.org/", "observers", "qat/importer/"}, why: "exporters start from the frozen network"},
	{of: "models/", not: []string{"fakequant", "observers", "qat", "train", "examples/"}, why: "models know nothing of quantization"},
	{of: "train/", not: []string{"examples/"}, why: "examples are on top"},
}

func TestImportDirection(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", module+"...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	checked := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		for _, r := range rules {
			if !covers(r.of, pkg) || anyCovers(r.except, pkg) {
				continue
			}
			checked[r.of] = true
			for _, dep := range fields[1:] {
				d, ours := strings.CutPrefix(dep, module)
				if !ours && !strings.Contains(dep, ".") {
					continue // the standard library, which has an internal/ of its own
				}
				if anyCovers(r.not, d) && d != pkg {
					t.Errorf("%s depends on %s: %s", pkg, d, r.why)
				}
			}
		}
	}
	for _, r := range rules {
		if !checked[r.of] {
			t.Errorf("no package matches rule %q", r.of)
		}
	}
}

func covers(pattern, pkg string) bool {
	if prefix, tree := strings.CutSuffix(pattern, "/"); tree {
		return pkg == prefix || strings.HasPrefix(pkg, pattern)
	}
	return pkg == pattern
}

func anyCovers(patterns []string, pkg string) bool {
	for _, p := range patterns {
		if covers(p, pkg) {
			return true
		}
	}
	return false
}
