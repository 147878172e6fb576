package direction

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// shipping are the folders whose numbers ship: what they compute has the same bits on every
// processor.
var shipping = []string{"internal", "fakequant", "observers", "qat", "train", "models"}

// mayDiffer are files that may use package math's functions, and why.
var mayDiffer = map[string]string{
	"internal/kern/fn_64.go":      "float64 for checks of gradients, which never ships",
	"internal/kern/fn_exp_sum.go": "its float64 form is of that kind",
}

// drawings are folders that draw: what they compute is on a page.
var drawings = []string{"qat/report/page/"}

// exactly are the functions of package math that have one right answer, or no answer of
// their own.
var exactly = map[string]bool{}

func init() {
	for _, n := range strings.Fields(`Abs Ceil Copysign FMA Float32bits Float32frombits Float64bits Float64frombits Floor
		Frexp Inf IsInf IsNaN Ldexp Max Min Mod Modf NaN Nextafter Nextafter32 Round RoundToEven Signbit Sqrt Trunc`) {
		exactly[n] = true
	}
}

// TestNoMathFunctions: package math's exponentials, logarithms and the like are assembly of
// their own on some processors and fused by the compiler on others, so that their bits
// differ. internal/kern has the project's own.
func TestNoMathFunctions(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := 0
	for _, folder := range shipping {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			if mayDiffer[name] != "" || strings.Contains(name, "/_gen/") || strings.Contains(name, "/testdata/") || anyPrefix(drawings, name) {
				return nil
			}
			seen++
			for _, use := range mathUses(t, path) {
				t.Errorf("%s uses math.%s, whose bits depend on the processor: take the function of internal/kern", name, use)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("%d files found, want the module's", seen)
	}
}

func anyPrefix(prefixes []string, s string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// mathUses returns the functions of package math in a file whose results are not exact.
func mathUses(t *testing.T, path string) (uses []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, i := range f.Imports {
		if i.Path.Value == `"math"` {
			if name = "math"; i.Name != nil {
				name = i.Name.Name
			}
		}
	}
	if name == "" {
		return nil
	}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == name && !exactly[s.Sel.Name] && !constant(s.Sel.Name) {
			uses = append(uses, s.Sel.Name)
		}
		return true
	})
	return uses
}

// constant says that a name of package math is a constant.
func constant(name string) bool {
	switch name {
	case "E", "Pi", "Phi", "Ln2", "Log2E", "Ln10", "Log10E":
		return true
	}
	return anyPrefix([]string{"Max", "Smallest", "Min", "Sqrt"}, name) && !exactly[name]
}

// TestMathUses: the test above sees what it forbids.
func TestMathUses(t *testing.T) {
	if uses := mathUses(t, filepath.Join("..", "kern", "fn_64.go")); len(uses) < 5 {
		t.Errorf("found %v", uses)
	}
}
