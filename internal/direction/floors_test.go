package direction

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// floors gives the files of a package from the ground up: each uses what stands in files
// before it, never what stands behind. A new file goes where that holds. Test files may
// use all.
var floors = map[string][]string{
	"fakequant": {
		"doc.go", "errors.go", "spec.go", "layout.go", "params.go", "ranges.go", "affine.go", "pack.go", "own.go",
		"quantizer.go", "learned.go", "current.go", "pass.go", "single.go", "site.go", "tap.go", "state.go",
	},
	"observers": {
		"doc.go", "state.go", "kind.go", "codes.go", "ruler.go", "search.go", "hist.go",
		"histogram.go", "percentile.go", "mse.go", "kl.go", "latest_mse.go", "observers.go", "json.go", "hist_json.go",
	},
	"train": {
		"doc.go", "schedule.go", "solver.go", "state.go", "sgd.go", "adam.go", "data.go", "loss.go", "progress.go", "loop.go",
		"evaluate.go", "checkpoint.go", "fit.go",
	},
	"models":               {"doc.go", "net.go", "builder.go", "build.go", "layers.go", "simple.go", "networks.go", "weights.go"},
	"qat/export/packedout": {"doc.go", "linear.go", "options.go", "write.go", "config.go"},
	"qat/importer/onnxin": {
		"doc.go", "errors.go", "model.go", "external.go", "tensor.go", "wire.go", "builder.go", "failures.go", "values.go", "node.go",
		"products.go", "window.go", "transposed.go", "moves.go", "reduce.go", "chain.go", "norms.go", "losses.go", "take.go", "convpool_axes.go", "convpool.go", "parts.go", "resample.go", "elementwise.go", "fold.go", "gather_scatter.go", "fold_math.go", "fold_move.go", "dequantize.go",
		"ops.go", "scan.go", "inputs.go", "build.go", "read.go", "thawer.go", "frozen_layers.go", "frozen_codes.go", "frozen.go",
	},
	"qat/importer/weights": {"doc.go", "errors.go", "numbers.go", "slot.go", "options.go", "report.go", "read.go", "write.go", "net.go"},
	"qat/qconfig": {
		"doc.go", "milestones.go", "config.go", "fault.go", "node.go", "alias.go", "json.go",
		"observer.go", "oscillation.go", "resolve.go", "validate.go", "write.go", "parse.go",
		"coreml_types.go", "coreml_kinds.go", "coreml_layer.go", "coreml_finish.go", "coreml.go", "read.go",
	},
	"qat/frozen": {
		"doc.go", "errors.go", "convert.go", "op.go", "network.go", "state.go", "codes.go",
		"tensor.go", "entries.go", "mode.go", "shapes.go", "validate.go", "write.go", "read.go",
		"way.go", "plan.go", "layer.go", "run.go", "call.go", "trace.go", "text.go",
	},
	"qat/internal/plan": {
		"types.go", "share.go", "parts.go",
		"rows.go", "fuse.go", "bias.go", "place_outputs.go", "place_quantizers.go", "place.go", "oscillation.go", "plan.go",
		"memory.go", "tuned.go", "phase.go",
		"exact.go", "nodes.go", "carry.go", "emit.go",
		"eval.go", "freeze.go", "probe.go",
	},
	"qat/internal/tune":    {"pairs.go", "rows.go", "linalg.go", "solve.go", "rounder.go", "heldout.go", "round.go", "equalize.go", "bias.go", "posttraining.go"},
	"qat/internal/measure": {"plan.go", "advice.go", "histogram.go", "report.go", "history.go", "mixed.go", "sensitivity.go", "verify.go"},
	"qat/internal/exact":   {"quant.go", "scales.go", "product.go"},
	"qat/export/coremlout": {
		"doc.go", "options.go", "names.go", "blob.go", "builder.go", "value.go", "weight.go", "lift.go", "quant.go", "product.go", "layers.go", "build.go",
		"package.go",
	},
	"qat/export/onnxout": {"doc.go", "options.go", "constant.go", "builder.go", "quant.go", "product.go", "resample.go", "layers.go", "build.go", "write.go"},
	"qat/ptq":            {"data.go", "equalize.go", "round.go", "bias.go", "ptq.go"},
	"qat/report":         {"plan.go", "number.go", "histogram.go", "verification.go", "ranges.go", "sensitivity.go", "mixed.go", "report.go"},
	"qat/report/page":    {"plot.go", "histogram.go", "page.go"},
	"qat":                {"doc.go", "qat.go", "predict.go", "step.go", "state.go", "posttraining.go", "measure.go", "shipping.go"},
}

func TestFloors(t *testing.T) {
	for dir, order := range floors {
		files := map[string]string{}
		for _, name := range goFiles(t, dir) {
			src, err := os.ReadFile(filepath.Join("..", "..", dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(src)
		}
		for _, name := range order {
			if _, ok := files[name]; !ok {
				t.Errorf("the table has a file %s/%s that does not exist", dir, name)
			}
		}
		for name := range files {
			if !slices.Contains(order, name) {
				t.Errorf("%s/%s is a new file: give it a place in the table", dir, name)
			}
		}
		for _, use := range upwards(t, files, order) {
			t.Errorf("%s: %s", dir, use)
		}
	}
}

// TestUpwards: a function, a type and a method of a file above are found, and so is one
// that is reached through a value of a foreign type; names of one's own file, of files
// below, of locals and of fields are not.
func TestUpwards(t *testing.T) {
	files := map[string]string{
		"low.go": `package p
import "other.org/other"
type list struct { items []*item; above int }
func (l list) all() { for _, i := range l.items { i.use() } }
func (l list) far() { for _, v := range other.Of(l) { m := map[other.Key]*item{}; m[v].far() } }
func (l list) own() int { above := func() int { return l.above }; return above() }
func (l list) calls() { above() }`,
		"high.go": `package p
type item struct{}
func (i *item) use() { list{}.all() }
func (i *item) far() {}
func above() {}`,
	}
	want := []string{
		"low.go uses item of high.go, which stands above it", "low.go uses use of high.go, which stands above it",
		"low.go uses far of high.go, which stands above it",
		"low.go uses above of high.go, which stands above it",
	}
	got := upwards(t, files, []string{"low.go", "high.go"})
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := upwards(t, map[string]string{"high.go": files["high.go"], "low.go": files["low.go"]}, []string{"high.go", "low.go"}); len(got) != 2 {
		t.Errorf("the other way round: %q, want the uses of list and all", got)
	}
}

// goFiles are the names of a package's files but its tests.
func goFiles(t *testing.T, dir string) []string {
	all, err := fs.Glob(os.DirFS(filepath.Join("..", "..", dir)), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

// upwards returns each use of a name that stands in a file further back in order.
func upwards(t *testing.T, sources map[string]string, order []string) []string {
	fset := token.NewFileSet()
	var files []*ast.File
	for name, src := range sources {
		f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	// Other packages count as empty, which leaves errors about their names and nothing
	// unknown about the package's own.
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: empty{}, Error: func(error) {}}
	pkg, _ := config.Check("p", fset, files, info)
	var found []string
	for id, used := range info.Uses {
		if used.Pkg() != pkg || used.Parent() != pkg.Scope() && !isMethod(used) {
			continue
		}
		from, to := fset.Position(id.Pos()).Filename, fset.Position(used.Pos()).Filename
		if slices.Index(order, to) > slices.Index(order, from) {
			found = append(found, from+" uses "+used.Name()+" of "+to+", which stands above it")
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func isMethod(o types.Object) bool {
	f, ok := o.(*types.Func)
	return ok && f.Type().(*types.Signature).Recv() != nil
}

// empty imports any package as one without names.
type empty struct{}

func (empty) Import(from string) (*types.Package, error) {
	p := types.NewPackage(from, path.Base(from))
	p.MarkComplete()
	return p, nil
}
