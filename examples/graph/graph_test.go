package graph

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// maxDiff is how many lines of an existing program quantizing it may change or add.
const maxDiff = 8

// TestDiff compares the two programs line by line, comments aside.
func TestDiff(t *testing.T) {
	float, quantized := code(t, "float"), code(t, "quantized")
	if n := changed(float, quantized); n > maxDiff {
		t.Errorf("%d lines changed or added, want at most %d", n, maxDiff)
	} else if n == 0 {
		t.Error("the programs are the same")
	}
}

func source(t *testing.T, program string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(program, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func code(t *testing.T, program string) []string {
	var lines []string
	for line := range strings.Lines(source(t, program)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines = append(lines, line)
		}
	}
	return lines
}

// changed is the least number of lines to change, add or remove on the way from a to b.
func changed(a, b []string) int {
	// cost[i][j] is the number for a[i:] and b[j:].
	cost := make([][]int, len(a)+1)
	for i := range cost {
		cost[i] = make([]int, len(b)+1)
	}
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) || j == len(b):
				cost[i][j] = max(len(a)-i, len(b)-j)
			case a[i] == b[j]:
				cost[i][j] = cost[i+1][j+1]
			default:
				cost[i][j] = 1 + min(cost[i+1][j], cost[i][j+1], cost[i+1][j+1])
			}
		}
	}
	return cost[0][0]
}

func TestChanged(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"a b c", "a b c", 0},
		{"a b c", "a x c", 1},
		{"a b c", "a x y c", 2},
		{"a b c", "a c", 1},
		{"", "a b", 2},
		{"a b", "b a", 2},
	} {
		if got := changed(strings.Fields(c.a), strings.Fields(c.b)); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestRun runs both programs, and the quantized one on Gorgonia's own machine too: the
// losses fall, both machines print the same, and no code differs.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs three programs")
	}
	float := run(t, "float", source(t, "float"))
	text := source(t, "quantized")
	own := run(t, "quantized", text)
	stock := strings.Replace(text, "must(m.Machine(cost))", "gorgonia.NewTapeMachine(m.Graph())", 1)
	if stock == text {
		t.Fatal("the quantized program does not make a machine")
	}
	if tape := run(t, "quantized on TapeMachine", stock); tape != own {
		t.Errorf("TapeMachine prints\n%sand goqat's machine\n%s", tape, own)
	}
	for name, out := range map[string]string{"float": float, "quantized": own} {
		if first, last := losses(t, out); !(last < first/4) {
			t.Errorf("%s: the loss went from %g to %g", name, first, last)
		}
	}
	if want := "codes that differ: 0\n"; !strings.HasSuffix(own, want) {
		t.Errorf("the quantized program prints\n%swithout %q", own, want)
	}
}

// run runs a program in a folder of its own and returns what it prints.
func run(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "run", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// losses are the first and the last loss that a program prints.
func losses(t *testing.T, out string) (first, last float64) {
	t.Helper()
	var all []float64
	for line := range strings.Lines(out) {
		if _, number, ok := strings.Cut(line, ": loss "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
	}
	if len(all) < 2 {
		t.Fatalf("no losses in\n%s", out)
	}
	return all[0], all[len(all)-1]
}
