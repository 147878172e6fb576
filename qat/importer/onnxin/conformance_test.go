package onnxin

// Which of the ONNX project's tests of single operators does goqat pass?

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/ort"
)

var writeTable = flag.Bool("conformance", false, "write testdata/conformance.txt anew instead of comparing with it")

// conformanceFile is the committed table; conformanceVersion the release of the Python
// package onnx that it is of.
const (
	conformanceFile    = "testdata/conformance.txt"
	conformanceVersion = "1.22"
)

const tableHead = `# ONNX's own tests of operators (onnx ` + conformanceVersion + `, backend/test/data), read by package onnxin and run in
# float32, each result within 1e-3 of its value or of the rounding of its sums. "single-op"
# are the tests of one node (Constant aside) whose results and whose first operand are
# float32; "further" are those with float32 elsewhere and those that spell an operator with
# several nodes. What stands behind a match came of the default W8A8 configuration: codes
# compared between training graph and frozen network, and whether ONNX Runtime loads the
# exported file with all optimisations.
#
# GOQAT_ONNX_BACKEND=that-folder ORT_NODE=... go test ./qat/importer/onnxin -run TestConformance -conformance
`

const (
	// conformRel is the tolerance of the ONNX project's own runner. Where terms cancel it
	// counts from the largest result: conformTop is 64·2^-24, the rounding of 64 sums.
	conformRel = 1e-3
	conformTop = 64 * 0x1p-24
)

// TestConformance runs all tests and compares the table with the committed one.
func TestConformance(t *testing.T) {
	dir := t.TempDir()
	var results []conformResult
	for _, c := range conformCases(t) {
		t.Run(c.name, func(t *testing.T) { results = append(results, c.run(t, dir)) })
	}
	load(t, results)
	for _, r := range results {
		if r.verdict == "wrong" {
			t.Errorf("%s (%s): %s", r.name, r.ops, r.why)
		}
	}
	got := table(results)
	if *writeTable {
		if err := os.WriteFile(conformanceFile, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(conformanceFile)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := verdicts(string(old)), verdicts(got); !slices.Equal(a, b) {
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Fatalf("%s: line %d has another verdict: write the table anew with -conformance and look at the change", conformanceFile, i+1)
			}
		}
	}
}

// verdicts are the table's lines without the reasons of refusals, whose wording may change.
func verdicts(table string) []string {
	lines := strings.Split(table, "\n")
	for i, line := range lines {
		if part := strings.Split(line, "\t"); part[0] == "refused" {
			lines[i] = strings.Join(part[:3], "\t")
		}
	}
	return lines
}

// load asks ONNX Runtime to load and run the W8A8 forms.
func load(t *testing.T, results []conformResult) {
	var jobs []ort.Job
	var of []int
	for i, r := range results {
		if r.job != nil {
			jobs, of = append(jobs, *r.job), append(of, i)
		}
	}
	done, err := ort.Run(jobs)
	if errors.Is(err, ort.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for k, i := range of {
		if err := done[k].Err; err != nil {
			results[i].frozen += ", does not load: " + err.Error()
		} else {
			results[i].frozen += ", loads"
		}
	}
}

// table is the text of the committed file.
func table(results []conformResult) string {
	var b strings.Builder
	b.WriteString(tableHead)
	for _, single := range []bool{true, false} {
		count := map[string]int{}
		frozen, all := 0, 0
		for _, r := range results {
			if r.single == single {
				all++
				count[r.verdict]++
				if r.frozen == "verify 0, loads" {
					frozen++
				}
			}
		}
		fmt.Fprintf(&b, "%s: %d of %d\n", groupOf(single), count["match"], all)
		fmt.Fprintf(&b, "    %d refused, %d wrong; of the matches %d W8A8 with 0 codes differing that load\n", count["refused"], count["wrong"], frozen)
	}
	for _, single := range []bool{true, false} {
		fmt.Fprintf(&b, "\n# %s\n", groupOf(single))
		for _, r := range results {
			if r.single == single {
				fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", r.verdict, r.name, r.ops, oneLine(r.why+r.frozen))
			}
		}
	}
	return b.String()
}

func groupOf(single bool) string {
	if single {
		return "single-op"
	}
	return "further"
}

func oneLine(s string) string {
	s = strings.TrimPrefix(strings.Join(strings.Fields(s), " "), "onnxin: ")
	if len(s) > maxReason {
		s = s[:maxReason] + "…"
	}
	return s
}

// maxReason keeps lines of the table readable.
const maxReason = 240

func itoa(i int) string { return strconv.Itoa(i) }
