package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"unicode/utf8"
)

// Write writes a safetensors file: the same bytes for the same tensors and texts,
// in whatever order they are given. As in the reference implementation the tensors
// lie by descending element size, then by name, and the header is padded with
// spaces to 8 bytes, so every tensor is aligned to its elements. meta may be nil.
//
// Nothing is written on an error that wraps [ErrFormat]: a name that comes twice,
// is not UTF-8 or is "__metadata__", an unknown dtype, data that does not fit the
// shape, a header above [MaxHeader]. Errors of w come back wrapped.
func Write(w io.Writer, tensors []Tensor, meta map[string]string) error {
	order := slices.Clone(tensors)
	sort.SliceStable(order, func(i, j int) bool {
		a, b := &order[i], &order[j]
		return cmp.Or(cmp.Compare(b.DType.Bits(), a.DType.Bits()), cmp.Compare(a.Name, b.Name)) < 0
	})
	header, err := makeHeader(order, meta)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("safetensors: write header: %w", err)
	}
	for _, t := range order {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("safetensors: write tensor %s: %w", quote(t.Name), err)
		}
	}
	return nil
}

// makeHeader returns the length and the header for tensors in the order given.
func makeHeader(tensors []Tensor, meta map[string]string) ([]byte, error) {
	texts := 0 // looked at first, so that a hopeless header is not built
	for k, v := range meta {
		texts += len(k) + len(v)
	}
	if texts > MaxHeader {
		return nil, headerTooLarge(texts)
	}
	b := bytes.NewBuffer(make([]byte, 8))
	b.WriteByte('{')
	if err := writeMetadata(b, meta); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(tensors))
	begin := int64(0)
	for _, t := range tensors {
		if err := checkTensor(t); err != nil {
			return nil, err
		}
		if seen[t.Name] {
			return nil, fmt.Errorf("%w: two tensors have the name %s", ErrFormat, quote(t.Name))
		}
		seen[t.Name] = true
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		end := begin + int64(len(t.Data))
		writeEntry(b, t, begin, end)
		begin = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	n := b.Len() - 8
	if n > MaxHeader {
		return nil, headerTooLarge(n)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), nil
}

func headerTooLarge(n int) error {
	return fmt.Errorf("%w: header of %d bytes: want at most %d: use fewer tensors or shorter metadata", ErrFormat, n, MaxHeader)
}

func checkTensor(t Tensor) error {
	if t.Name == metadataKey {
		return fmt.Errorf("%w: a tensor may not have the name %s", ErrFormat, metadataKey)
	}
	if !utf8.ValidString(t.Name) {
		return fmt.Errorf("%w: tensor name %s is not valid UTF-8", ErrFormat, quote(t.Name))
	}
	size, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return fmt.Errorf("%w: tensor %s: %w", ErrFormat, quote(t.Name), err)
	}
	if int64(len(t.Data)) != size {
		return fmt.Errorf("%w: tensor %s: %d bytes of data for %s of shape %s, which takes %d",
			ErrFormat, quote(t.Name), len(t.Data), t.DType, shapeText(t.Shape), size)
	}
	return nil
}

func writeMetadata(b *bytes.Buffer, meta map[string]string) error {
	if len(meta) == 0 {
		return nil
	}
	keys := make([]string, 0, len(meta))
	for k, v := range meta {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("%w: metadata %s is not valid UTF-8", ErrFormat, quote(k))
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	writeText(b, metadataKey)
	b.WriteString(":{")
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		writeText(b, k)
		b.WriteByte(':')
		writeText(b, meta[k])
	}
	b.WriteByte('}')
	return nil
}

func writeEntry(b *bytes.Buffer, t Tensor, begin, end int64) {
	writeText(b, t.Name)
	b.WriteString(`:{"dtype":`)
	writeText(b, string(t.DType))
	b.WriteString(`,"shape":[`)
	for i, d := range t.Shape {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(d))
	}
	fmt.Fprintf(b, `],"data_offsets":[%d,%d]}`, begin, end)
}

// writeText writes s, which is valid UTF-8, as a JSON string. Letters like < stay
// as they are: the header is no HTML, and names should be readable in it.
func writeText(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)         // a string always encodes, and a Buffer always takes it
	b.Truncate(b.Len() - 1) // Encode's newline
}
