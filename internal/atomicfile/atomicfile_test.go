package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// wantFile checks that path holds s and that nothing else lies beside it.
func wantFile(t *testing.T, path, s string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != s {
		t.Errorf("got %.40q, %v, want %.40q", got, err, s)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v; want the file alone", entries, err)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	if err := WriteFile(path, text("one")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "one")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("two", bufferSize)
	if err := WriteFile(path, text(long)); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, long)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode after replacing: %v, %v; want 0640", info.Mode(), err)
	}
}

func TestWriteFileFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	if err := WriteFile(path, text("before")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no data")
	err := WriteFile(path, func(w io.Writer) error {
		if err := text(strings.Repeat("x", 2*bufferSize))(w); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
		t.Errorf("failing writer: %v", err)
	}
	wantFile(t, path, "before")

	func() {
		defer func() {
			if r := recover(); r != "oops" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = WriteFile(path, func(io.Writer) error { panic("oops") })
	}()
	wantFile(t, path, "before")

	if err := WriteFile(filepath.Join(path, "below"), text("x")); err == nil {
		t.Error("a file served as a folder")
	}
	if err := WriteFile(filepath.Join(filepath.Dir(path), "absent", "x"), text("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent folder: %v", err)
	}
	wantFile(t, path, "before")
}

// A folder at the path makes the rename fail, the last thing that can.
func TestWriteFileOverFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder")
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, text("x")); err == nil {
		t.Error("replaced a folder")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || !entries[0].IsDir() {
		t.Errorf("folder holds %v, %v", entries, err)
	}
}

// A relative path without a folder goes to the working directory.
func TestWriteFileRelative(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := WriteFile("model", text("x")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "model"), "x")
}

// Of several writers at once one wins, and its text is whole.
func TestWriteFileConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	texts := map[string]bool{}
	var wg sync.WaitGroup
	for _, c := range "abcd" {
		s := strings.Repeat(string(c), 100_000)
		texts[s] = true
		wg.Go(func() {
			if err := WriteFile(path, text(s)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || !texts[string(got)] {
		t.Errorf("read %d bytes, %v: not one of the texts", len(got), err)
	}
	wantFile(t, path, string(got))
}

// A pipe and a device stay what they are.
func TestWriteFileStreams(t *testing.T) {
	if err := WriteFile(os.DevNull, text("gone")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("%s was replaced: %v, %v", os.DevNull, info, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/dev/fd/%d", w.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no way to name a pipe on this system: %v", err)
	}
	if err := WriteFile(path, text("through")); err != nil {
		t.Error(err)
	}
	w.Close()
	if got, err := io.ReadAll(r); string(got) != "through" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := WriteFile(t.TempDir(), text("x")); err == nil || !strings.Contains(err.Error(), "name a file") {
		t.Errorf("writing to a folder: %v", err)
	}
}
