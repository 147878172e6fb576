package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's folder.
const root = "../.."

// block is a piece of Go that a text shows.
type block struct {
	file string
	code string
}

// completion makes a block a function: what stands before and behind it. A block is
// known by its file and a piece of its text.
type completion struct {
	file, has     string
	before, after string
	trains        bool // it holds a training loop: see program.go.txt
}

var completions = []completion{
	{file: "README.md", has: "qat.Prepare(g,", trains: true,
		before: "g, x, y, logits, cost := network()\nbatch, labels, input := data()\nsolver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.1))\n",
		after:  "check(err)\n_ = out\nif v.Differing != 0 {\n\tlog.Fatal(\"codes differ\")\n}\nreturn cost, m.Learnables()\n"},
	{file: "README.md", has: "frozen.ReadFile(",
		before: "fz, err := frozenNet()\ncheck(err)\ncheck(fz.WriteFile(\"net.safetensors\"))\n_, _, input := data()\n",
		after:  "check(err)\nif first.Name == \"\" || !slices.Equal(first.Shape, []int{3, out}) {\n\tlog.Fatal(first)\n}\n"},
	{file: "README.md", has: "qat.Optimize(g,",
		before: "g, x, y, logits, cost := network()\n", after: "check(err)\ncheck(vm.Close())\n"},
	{file: "README.md", has: "onnxout.WriteFile",
		before: "fz, err := frozenNet()\ncheck(err)\n", after: "check(err)\n_ = report\n"},
	{file: "README.md", has: "onnxin.ReadFile(\"resnet.onnx\"",
		before: "writeInputs()\n", after: "check(err)\n_ = report\n"},
	{file: "models/doc.go", has: "models.New(", before: "const seed = 1\n", after: "check(err)\n_ = net\n"},
	{file: "qat/importer/onnxin/doc.go", has: "onnxin.ReadFile", before: "writeInputs()\n", after: "check(err)\n_ = q\n"},
	{file: "qat/importer/weights/doc.go", has: "weights.ReadFile",
		before: "g, x, labels := renamed()\n", after: "check(err)\n_ = report\n"},
	{file: "qat/qconfig/doc.go", has: "qconfig.Config{", after: "check(cfg.Validate())\n"},
	{file: "train/doc.go", has: "train.Fit(",
		before: "ctx, net, data, test := digits()\n", after: "check(err)\n_ = score\n"},
}

// TestBlocks completes every block of Go in the README and in the package comments,
// builds them into one program and runs it. Loops run on either machine: the loss
// falls, and the bits are the same.
func TestBlocks(t *testing.T) {
	var functions bytes.Buffer
	var calls, loops strings.Builder
	used := make([]bool, len(completions))
	for i, b := range blocks(t) {
		c, at := find(b)
		if at < 0 {
			t.Errorf("%s: a block that no completion knows:\n%s", b.file, b.code)
			continue
		}
		used[at] = true
		if c.trains {
			code := strings.Replace(b.code, "m.Machine(cost)", "machine(m, cost)", 1)
			if code == b.code {
				t.Errorf("%s: a loop without m.Machine(cost)", b.file)
			}
			fmt.Fprintf(&functions, "func block%d(steps int, machine machineFunc) (*gorgonia.Node, gorgonia.Nodes) {\n%s%s\n%s}\n\n", i, c.before, code, c.after)
			fmt.Fprintf(&loops, "\tloop(%q, block%d)\n", b.file, i)
			continue
		}
		fmt.Fprintf(&functions, "func block%d() {\n%s%s\n%s}\n\n", i, c.before, b.code, c.after)
		fmt.Fprintf(&calls, "\tblock%d()\n", i)
	}
	for i, ok := range used {
		if !ok {
			t.Errorf("no block of %s has %q", completions[i].file, completions[i].has)
		}
	}
	if t.Failed() {
		return
	}
	frame, err := os.ReadFile("program.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	program := string(frame) + "\nfunc main() {\n" + calls.String() + loops.String() + "}\n\n" + functions.String()
	runProgram(t, program)
}

// runProgram runs a program as if it stood in a folder of the module.
func runProgram(t *testing.T, program string) {
	t.Helper()
	dir := t.TempDir()
	source, list := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, "program", "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "program.exe")
	if out, err := exec.Command("go", "build", "-overlay", list, "-o", exe, "./program").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, numbered(string(out), program))
	}
	run := exec.Command(exe)
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// numbered adds the program to the compiler's errors.
func numbered(errors, program string) string {
	var b strings.Builder
	b.WriteString(errors)
	for i, line := range strings.Split(program, "\n") {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, line)
	}
	return b.String()
}

func find(b block) (completion, int) {
	for i, c := range completions {
		if c.file == b.file && strings.Contains(b.code, c.has) {
			return c, i
		}
	}
	return completion{}, -1
}

// blocks collects the blocks of the README and of all public packages' comments.
func blocks(t *testing.T) []block {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for i, part := range strings.Split(string(readme), "```") {
		if code, ok := strings.CutPrefix(part, "go\n"); ok && i%2 == 1 {
			all = append(all, block{"README.md", code})
		}
	}
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "internal" || d.Name() == "examples"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		if f.Doc != nil {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			all = append(all, indented(filepath.ToSlash(rel), f.Doc)...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// indented returns the indented pieces of a package comment that are Go: those that
// define something.
func indented(file string, doc *ast.CommentGroup) []block {
	var found []block
	var code []string
	end := func() {
		if text := strings.Join(code, "\n"); strings.Contains(text, ":=") {
			found = append(found, block{file, text})
		}
		code = nil
	}
	for line := range strings.Lines(doc.Text()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") || line == "" && code != nil {
			code = append(code, strings.TrimPrefix(line, "\t"))
			continue
		}
		end()
	}
	end()
	return found
}
