package ort

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	t.Setenv(EnvFolder, "")
	if _, err := Run(nil); !errors.Is(err, ErrMissing) {
		t.Errorf("without %s: %v, want ErrMissing", EnvFolder, err)
	}
	// A wrong folder is a mistake, not a reason to skip.
	t.Setenv(EnvFolder, t.TempDir())
	if _, err := Find(); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("with a wrong folder: %v", err)
	}
}

func TestBadModel(t *testing.T) {
	if _, err := Find(); errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "bad.onnx")
	if err := os.WriteFile(path, []byte("not a model"), 0o666); err != nil {
		t.Fatal(err)
	}
	results, err := Run([]Job{{Model: path, Level: Disabled}})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Err == nil {
		t.Errorf("a file that is no model gave %+v", results)
	}
}
