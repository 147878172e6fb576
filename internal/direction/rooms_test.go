package direction

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms says which rooms of qat each room of qat may import; any other arrow between
// two of them fails. A new package goes in here with its arrows.
var rooms = map[string][]string{
	"qat":                  {"qat/frozen", "qat/internal/measure", "qat/internal/plan", "qat/internal/tune", "qat/ptq", "qat/qconfig", "qat/report"},
	"qat/qconfig":          {},
	"qat/ptq":              {},
	"qat/report":           {"qat/qconfig"},
	"qat/report/page":      {"qat/report"},
	"qat/internal/tune":    {"qat/internal/plan", "qat/ptq"},
	"qat/internal/measure": {"qat/frozen", "qat/internal/plan", "qat/qconfig", "qat/report"},
	"qat/internal/plan":    {"qat/frozen", "qat/internal/exact", "qat/internal/frozenop", "qat/qconfig"},
	"qat/frozen":           {"qat/internal/exact"},
	"qat/internal/exact":   {},

	"qat/internal/frozenop":   {"qat/frozen"},
	"qat/internal/frozentest": {"qat/frozen"},
	"qat/export/coremlout":    {"qat/frozen"},
	"qat/export/onnxout":      {"qat/frozen"},
	"qat/export/packedout":    {"qat/frozen"},
	"qat/importer/onnxin":     {"qat/frozen", "qat/internal/frozenop"},
	"qat/importer/weights":    {},
}

// plotting is the library that draws; only the page may bring it into a program.
const plotting = "gonum.org/v1/plot"

func TestRooms(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"qat/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		room := strings.TrimPrefix(fields[0], module)
		may, known := rooms[room]
		if !known {
			t.Errorf("%s is a new room: say in the table what it may import", room)
			continue
		}
		seen[room] = true
		for _, path := range fields[1:] {
			other, ours := strings.CutPrefix(path, module)
			if ours && covers("qat/", other) && !slices.Contains(may, other) {
				t.Errorf("%s imports %s: the table has no such arrow", room, other)
			}
			if covers(plotting+"/", path) && room != "qat/report/page" {
				t.Errorf("%s imports %s: only qat/report/page draws", room, path)
			}
		}
	}
	for room := range rooms {
		if !seen[room] {
			t.Errorf("the table has a room %s that does not exist", room)
		}
	}
}

// TestNothingDraws: a program that prepares, trains and freezes is not linked with plots.
func TestNothingDraws(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"qat", module+"train").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if covers(plotting+"/", strings.TrimSpace(line)) {
			t.Errorf("qat or train depends on %s", strings.TrimSpace(line))
		}
	}
}

// TestTableGoesDown: the table itself has no circle.
func TestTableGoesDown(t *testing.T) {
	var visit func(room string, above []string)
	visit = func(room string, above []string) {
		if slices.Contains(above, room) {
			t.Fatalf("a circle: %s", strings.Join(append(above, room), " -> "))
		}
		for _, next := range rooms[room] {
			visit(next, append(slices.Clone(above), room))
		}
	}
	for room := range rooms {
		visit(room, nil)
	}
}
