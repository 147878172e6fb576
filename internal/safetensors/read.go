package safetensors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
)

// File is an open safetensors file: its header, checked, and the reader behind it.
// Tensors are read when they are asked for. Methods may be called from several
// goroutines if the reader's ReadAt may.
type File struct {
	// Metadata holds the texts of "__metadata__"; nil if there is none.
	Metadata map[string]string

	r       io.ReaderAt
	data    int64 // offset of the first tensor
	entries map[string]entry
	names   []string
}

// Read reads and checks the header of the file of the given size behind r, which
// must stay open as long as the File is used. Errors wrap [ErrFormat] and name the
// tensor and the rule that is broken: a length that runs past the end, a header
// above [MaxHeader], anything but JSON in UTF-8, keys that come twice or do not
// exist, values of the wrong type, unknown dtypes, sizes that overflow, offsets
// that do not fit the shape, and tensors that overlap, leave holes, or end before
// or behind the end of the file.
func Read(r io.ReaderAt, size int64) (*File, error) {
	if size < 8 {
		return nil, fmt.Errorf("%w: file has %d bytes: the header's length alone takes 8", ErrFormat, size)
	}
	var length [8]byte
	if err := readAt(r, length[:], 0); err != nil {
		return nil, fmt.Errorf("safetensors: read header length: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > MaxHeader {
		return nil, fmt.Errorf("%w: header of %d bytes: want at most %d (is this a safetensors file?)", ErrFormat, n, MaxHeader)
	}
	if int64(n) > size-8 {
		return nil, fmt.Errorf("%w: header of %d bytes runs past the end of a file of %d bytes: truncated?", ErrFormat, n, size)
	}
	raw := make([]byte, n)
	if err := readAt(r, raw, 8); err != nil {
		return nil, fmt.Errorf("safetensors: read header: %w", err)
	}
	entries, meta, err := parseHeader(raw)
	if err != nil {
		return nil, err
	}
	f := &File{Metadata: meta, r: r, data: 8 + int64(n), entries: entries}
	if err := f.checkPlaces(size - f.data); err != nil {
		return nil, err
	}
	return f, nil
}

// checkPlaces checks that the tensors cover the data, each byte once, and fills
// the list of names.
func (f *File) checkPlaces(length int64) error {
	order := make([]entry, 0, len(f.entries))
	f.names = make([]string, 0, len(f.entries))
	for name, e := range f.entries {
		order = append(order, e)
		f.names = append(f.names, name)
	}
	slices.Sort(f.names)
	sort.Slice(order, func(i, j int) bool {
		a, b := &order[i], &order[j]
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name)) < 0
	})
	end := int64(0)
	for _, e := range order {
		switch {
		case e.begin < end:
			return fmt.Errorf("%w: tensor %s begins at %d, inside the tensor that ends at %d", ErrFormat, quote(e.name), e.begin, end)
		case e.begin > end:
			return fmt.Errorf("%w: hole of %d bytes before tensor %s, which begins at %d", ErrFormat, e.begin-end, quote(e.name), e.begin)
		case e.end > length:
			return fmt.Errorf("%w: tensor %s ends at %d, but there are %d bytes of data: truncated?", ErrFormat, quote(e.name), e.end, length)
		}
		end = e.end
	}
	if end != length {
		return fmt.Errorf("%w: %d bytes after the last tensor", ErrFormat, length-end)
	}
	return nil
}

// readAt fills b from offset on; a file that ends early is an error.
func readAt(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Names returns the names of the tensors in alphabetical order. The slice is the
// caller's.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Has reports whether there is a tensor with the name.
func (f *File) Has(name string) bool { _, ok := f.entries[name]; return ok }

// Info returns the element type, the shape and the size in bytes of a tensor. The
// shape is the caller's. A name that is not there is an error that wraps
// [ErrFormat].
func (f *File) Info(name string) (d DType, shape []int, size int64, err error) {
	e, ok := f.entries[name]
	if !ok {
		return "", nil, 0, fmt.Errorf("%w: no tensor %s among %d", ErrFormat, quote(name), len(f.entries))
	}
	return e.dtype, slices.Clone(e.shape), e.end - e.begin, nil
}

// Bytes reads the elements of a tensor, row-major and little endian. The slice is
// the caller's.
func (f *File) Bytes(name string) ([]byte, error) {
	_, _, size, err := f.Info(name)
	if err != nil {
		return nil, err
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("%w: tensor %s has %d bytes: too many for this machine", ErrFormat, quote(name), size)
	}
	b := make([]byte, size)
	if err := readAt(f.r, b, f.data+f.entries[name].begin); err != nil {
		return nil, fmt.Errorf("safetensors: read tensor %s: %w", quote(name), err)
	}
	return b, nil
}
