package coremlout

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
)

// files returns what is below dir, by path.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if d.Type().IsRegular() {
			all[filepath.ToSlash(rel)] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// alone fails when dir holds anything but the package.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("beside the package: %v, %v", entries, err)
	}
}

func small(t *testing.T) *frozen.Network {
	m := frozentest.New(t)
	return mlpNet(m)
}

// TestDeterministic: equal networks give equal bytes, others give other ids.
func TestDeterministic(t *testing.T) {
	write := func(n *frozen.Network) map[string][]byte {
		path := filepath.Join(t.TempDir(), "m.mlpackage")
		if err := WriteDir(path, n, Options{Description: "d", Version: "1", Author: "a", License: "l"}); err != nil {
			t.Fatal(err)
		}
		alone(t, path)
		return files(t, path)
	}
	first := write(small(t))
	for range 5 {
		again := write(small(t))
		if len(again) != 3 || len(first) != 3 {
			t.Fatalf("%d and %d files, want 3", len(first), len(again))
		}
		for name := range first {
			if !bytes.Equal(first[name], again[name]) {
				t.Errorf("%s differs", name)
			}
		}
	}
	other := small(t)
	w := other.Tensors[other.Layers[0].Inputs[1]].Const.Codes
	w[0], w[1] = 0x11, 0x22
	changed := write(other)
	if bytes.Equal(first["Manifest.json"], changed["Manifest.json"]) {
		t.Error("other weights, but the same ids")
	}
	if !bytes.Equal(first["Data/com.apple.CoreML/model.mlmodel"], changed["Data/com.apple.CoreML/model.mlmodel"]) {
		t.Error("other weights changed the program")
	}
}

// TestReplace: a package is replaced as a whole, and what was in it is gone.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.MLpackage")
	if err := WriteDir(path, small(t), Options{}); err != nil {
		t.Fatal(err)
	}
	before := files(t, path)
	extra := filepath.Join(path, "Data", "extra")
	if err := os.WriteFile(extra, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := WriteDir(path+string(filepath.Separator), small(t), Options{Compute: Float16}); err != nil {
		t.Fatal(err)
	}
	alone(t, path)
	after := files(t, path)
	if _, err := os.Stat(extra); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v, want it gone", extra, err)
	}
	if bytes.Equal(before["Data/com.apple.CoreML/model.mlmodel"], after["Data/com.apple.CoreML/model.mlmodel"]) {
		t.Error("the package was not replaced")
	}
}

// TestRefusals: what is no package stays as it is.
func TestRefusals(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.mlpackage")
	if err := WriteDir(good, small(t), Options{}); err != nil {
		t.Fatal(err)
	}
	manifest := read(t, filepath.Join(good, "Manifest.json"))
	for name, place := range map[string]func(path string) error{
		"file":     func(path string) error { return os.WriteFile(path, []byte("x"), 0o666) },
		"link":     func(path string) error { return os.Symlink(good, path) },
		"empty":    func(path string) error { return os.Mkdir(path, 0o777) },
		"stranger": folder("Manifest.json", manifest, "thesis.txt", nil),
		"no text":  folder("Manifest.json", []byte("{"), "Data", nil),
		"no model": folder("Manifest.json", []byte(`{"rootModelIdentifier": "a", "itemInfoEntries": {"b": {}}}`), "Data", nil),
		"no list":  folder("Data", nil, ".DS_Store", nil),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.mlpackage")
			if err := place(path); err != nil {
				t.Skip(err) // a system without symbolic links
			}
			before := files(t, path)
			if err := WriteDir(path, small(t), Options{}); !errors.Is(err, ErrPath) {
				t.Errorf("got %v, want ErrPath", err)
			}
			alone(t, path)
			after := files(t, path)
			if len(after) != len(before) {
				t.Errorf("%d files, before %d", len(after), len(before))
			}
		})
	}
	for _, name := range []string{"m", "m.mlmodel", "m.mlpackage.zip", ".", ""} {
		dir := t.TempDir()
		if err := WriteDir(filepath.Join(dir, name), small(t), Options{}); !errors.Is(err, ErrPath) {
			t.Errorf("%q: got %v, want ErrPath", name, err)
		}
		if left := files(t, dir); len(left) != 0 {
			t.Errorf("%q: left %d files", name, len(left))
		}
	}
	if err := WriteDir(filepath.Join(t.TempDir(), "none", "m.mlpackage"), small(t), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such folder: got %v", err)
	}
}

// TestFailures: when the package cannot be written, or something takes its place
// meanwhile, what is there stays and nothing is left over.
func TestFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.mlpackage")
	if err := WriteDir(path, small(t), Options{}); err != nil {
		t.Fatal(err)
	}
	before := files(t, path)
	full := errors.New("disk full")
	err := writeFolder(path, func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "Manifest.json"), nil, 0o666), full)
	})
	alone(t, path)
	if after := files(t, path); !errors.Is(err, full) || len(after) != 3 || !bytes.Equal(after["Manifest.json"], before["Manifest.json"]) {
		t.Errorf("got %v, and the package changed: %v", err, after)
	}
	thesis := filepath.Join(path, "thesis.txt")
	err = writeFolder(path, func(string) error { return os.WriteFile(thesis, nil, 0o666) })
	alone(t, path)
	if _, lost := os.Stat(thesis); !errors.Is(err, ErrPath) || lost != nil {
		t.Errorf("got %v and %v, want ErrPath and the file in its place", err, lost)
	}
}

// folder makes one of two files; those called Data are folders.
func folder(a string, x []byte, b string, y []byte) func(path string) error {
	return func(path string) error {
		err := os.Mkdir(path, 0o777)
		for name, text := range map[string][]byte{a: x, b: y} {
			file := filepath.Join(path, name)
			if name == "Data" {
				err = errors.Join(err, os.Mkdir(file, 0o777))
			} else {
				err = errors.Join(err, os.WriteFile(file, text, 0o666))
			}
		}
		return err
	}
}

// TestBadNetwork leaves nothing behind, and a package that was there as it is.
func TestBadNetwork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.mlpackage")
	for _, n := range []*frozen.Network{nil, {}} {
		if err := WriteDir(path, n, Options{}); !errors.Is(err, frozen.ErrNetwork) {
			t.Errorf("got %v, want ErrNetwork", err)
		}
	}
	for _, o := range []Options{{Target: 3}, {Compute: 2}, {Batch: -1}, {Author: "\xff"}} {
		if err := WriteDir(path, small(t), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: got %v, want ErrOptions", o, err)
		}
	}
	if left := files(t, filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left %d files", len(left))
	}
}
