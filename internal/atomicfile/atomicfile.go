// Package atomicfile writes files whole or not at all, so that a crash or a full
// disk in the middle of a save never harms the file that was there before.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// WriteFile creates or replaces the file at path with what write writes. The text
// goes to a temporary file in the same folder, which is synced to disk and then
// renamed; on any error, or a panic of write, it is removed and path is as it was.
// The writer is buffered and only valid during the call. A new file has mode 0666
// before the umask; a file that is replaced passes on its permissions. A symbolic
// link to a file is replaced itself, not what it points to. A pipe or a device, or a link
// to one, is written to in place. Errors of write come back wrapped.
func WriteFile(path string, write func(io.Writer) error) error {
	if err := writeFile(path, write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return stream(path, info, write)
	}
	f, err := create(path)
	if err != nil {
		return err
	}
	renamed := false
	defer func() {
		if !renamed { // also when write panics
			f.Close()
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriterSize(f, bufferSize)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := keepMode(f, path); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	renamed = true
	syncFolder(filepath.Dir(path))
	return nil
}

// stream writes to what must not be replaced by a file: a pipe, a device.
func stream(path string, info fs.FileInfo, write func(io.Writer) error) error {
	if info.IsDir() {
		return errors.New("it is a folder: name a file")
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, bufferSize)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	return errors.Join(err, f.Close())
}

// bufferSize makes few system calls of many small writes.
const bufferSize = 64 << 10

// attempts bounds the search for a free temporary name. Names hold 64 random
// bits, so a second attempt is already unlikely.
const attempts = 100

// create makes the temporary file. os.CreateTemp would give it mode 0600, which
// is not what a user expects of a saved model.
func create(path string) (*os.File, error) {
	dir, base := filepath.Split(path)
	for range attempts {
		name := fmt.Sprintf("%s.%s.%016x.tmp", dir, base, rand.Uint64())
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("no free temporary name in %s", dir)
}

// keepMode gives f the permissions of the file that it will replace, if any.
func keepMode(f *os.File, path string) error {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return f.Chmod(info.Mode().Perm())
}

// syncFolder makes the rename itself durable. Not every system can sync a folder;
// where it cannot, the file is whole all the same.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
