package onnxin

import (
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/goqat/goqat/internal/onnxpb"
)

// fileSource opens the files of external data.
type fileSource interface {
	open(location string) (*os.File, error)
}

// noFiles is the source of a model that came from a reader.
type noFiles struct{}

func (noFiles) open(location string) (*os.File, error) {
	return nil, fmt.Errorf("%w: its data is in the file %q: use ReadFile", ErrUnsupported, location)
}

// folder is the folder of a model. os.Root keeps all paths, symbolic links included,
// inside it.
type folder struct{ root *os.Root }

func (f *folder) Close() error { return f.root.Close() }

func (f *folder) open(location string) (*os.File, error) {
	switch {
	case location == "":
		return nil, fmt.Errorf("%w: no location of the external data", ErrFormat)
	case strings.ContainsAny(location, "\\\x00:"):
		return nil, fmt.Errorf("%w: location %q: backslashes, colons and NUL are refused", ErrFormat, location)
	case path.IsAbs(location):
		return nil, fmt.Errorf("%w: location %q: absolute paths are refused", ErrFormat, location)
	}
	for part := range strings.SplitSeq(location, "/") {
		if part == ".." {
			return nil, fmt.Errorf("%w: location %q leaves the folder of the model", ErrFormat, location)
		}
	}
	// A named pipe would block in Open.
	info, err := f.root.Stat(location)
	if err != nil {
		return nil, fmt.Errorf("%w: external data: %w", ErrFormat, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: location %q is not a plain file", ErrFormat, location)
	}
	file, err := f.root.Open(location)
	if err != nil {
		return nil, fmt.Errorf("%w: external data: %w", ErrFormat, err)
	}
	return file, nil
}

// external reads the want bytes of a tensor that lies in another file.
func external(files fileSource, t *onnxpb.TensorProto, want int) ([]byte, error) {
	fields := map[string]string{}
	for _, e := range t.ExternalData {
		if _, twice := fields[e.GetKey()]; twice {
			return nil, fmt.Errorf("%w: external data names %q twice", ErrFormat, e.GetKey())
		}
		fields[e.GetKey()] = e.GetValue()
	}
	file, err := files.open(fields["location"])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	offset, length := int64(0), int64(want)
	for name, to := range map[string]*int64{"offset": &offset, "length": &length} {
		if text, ok := fields[name]; ok {
			if *to, err = strconv.ParseInt(text, 10, 64); err != nil || *to < 0 {
				return nil, fmt.Errorf("%w: external data: %s is %q, want a number of bytes", ErrFormat, name, text)
			}
		}
	}
	if length != int64(want) {
		return nil, fmt.Errorf("%w: external data: length is %d, the tensor has %d bytes", ErrFormat, length, want)
	}
	if offset > info.Size() || length > info.Size()-offset {
		return nil, fmt.Errorf("%w: external data: bytes %d to %d of %q, which has %d", ErrFormat, offset, offset+length, fields["location"], info.Size())
	}
	data := make([]byte, want)
	if _, err := io.ReadFull(io.NewSectionReader(file, offset, length), data); err != nil {
		return nil, fmt.Errorf("%w: external data: %w", ErrFormat, err)
	}
	return data, nil
}
