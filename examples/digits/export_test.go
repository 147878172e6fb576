package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestExport: each row gives a frozen network, an ONNX model and a Core ML package,
// unless told not to.
func TestExport(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a network")
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"w4a8-per-channel.html", "w4a8-per-channel.mlpackage", "w4a8-per-channel.onnx", "w4a8-per-channel.safetensors",
			"w8a8-per-channel.html", "w8a8-per-channel.mlpackage", "w8a8-per-channel.onnx", "w8a8-per-channel.safetensors"}},
		{[]string{"-export=false"}, []string{"w4a8-per-channel.safetensors", "w8a8-per-channel.safetensors"}},
	} {
		dir := t.TempDir()
		args := append([]string{"-quick", "-net", "cnn", "-out", dir}, c.args...)
		if err := run(context.Background(), args, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			if info, err := os.Stat(f); err != nil || info.Size() == 0 {
				t.Errorf("%s is empty (%v)", f, err)
			}
			files[i] = filepath.Base(f)
		}
		if !slices.Equal(files, c.want) {
			t.Errorf("%q: wrote %q, want %q", c.args, files, c.want)
		}
	}
	if _, err := parse([]string{"-export=perhaps"}); err == nil {
		t.Error("-export=perhaps is accepted")
	}
}
