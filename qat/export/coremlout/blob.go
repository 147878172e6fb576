package coremlout

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/mlpb"
)

// The weight file, blob storage version 2 (coremltools,
// mlmodel/src/MILBlob/Blob/StorageFormat.hpp): a header, then for each blob a record
// and its data, all little endian and on 64-byte boundaries.
const (
	blobAlign    = 64 // also the size of the header and of a record
	blobVersion  = 2
	blobSentinel = 0xDEADBEEF
	blobFileName = "@model_path/weights/weight.bin"
)

// blobTypes are the numbers of data types in records (BlobDataType.hpp).
var blobTypes = map[mlpb.DataType]uint32{
	mlpb.DataType_FLOAT16: 1, mlpb.DataType_FLOAT32: 2, mlpb.DataType_UINT8: 3, mlpb.DataType_INT8: 4,
	mlpb.DataType_INT4: 8, mlpb.DataType_UINT4: 11, mlpb.DataType_INT32: 14,
}

// bitsOf is the width of an element.
func bitsOf(t mlpb.DataType) int {
	switch t {
	case mlpb.DataType_INT4, mlpb.DataType_UINT4:
		return 4
	case mlpb.DataType_INT8, mlpb.DataType_UINT8:
		return 8
	case mlpb.DataType_FLOAT16:
		return 16
	}
	return 32
}

// data are the elements of a constant: exactly one slice is set, which may be the
// network's own memory.
type data struct {
	dtype  mlpb.DataType
	floats []float32 // for FLOAT32 and FLOAT16
	ints   []int32   // for INT32
	raw    []byte    // for integers of 8 and 4 bits; the latter as fakequant.Pack4 lays them out
	count  int       // elements
}

// size is the number of bytes.
func (d *data) size() int64 { return (int64(d.count)*int64(bitsOf(d.dtype)) + 7) / 8 }

// bytes returns elements from to below to of floats or ints, little endian.
func (d *data) bytes(from, to int) []byte {
	var out []byte
	switch {
	case d.ints != nil:
		for _, v := range d.ints[from:to] {
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		}
	case d.dtype == mlpb.DataType_FLOAT16:
		for _, v := range d.floats[from:to] {
			out = binary.LittleEndian.AppendUint16(out, kern.Half(v))
		}
	default:
		for _, v := range d.floats[from:to] {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	return out
}

// writeTo writes the elements. Wide ones are converted a stretch at a time, so that a
// large network is not in memory twice.
func (d *data) writeTo(w io.Writer) error {
	if d.raw != nil {
		_, err := w.Write(d.raw)
		return err
	}
	const stretch = 1 << 14
	for from := 0; from < d.count; from += stretch {
		if _, err := w.Write(d.bytes(from, min(from+stretch, d.count))); err != nil {
			return err
		}
	}
	return nil
}

// blobs is the weight file to be.
type blobs struct {
	list []data
	end  int64 // of the last blob, without padding
}

// add places a blob and returns the offset of its record.
func (b *blobs) add(d data) int64 {
	at := alignUp(max(b.end, blobAlign))
	b.list = append(b.list, d)
	b.end = at + blobAlign + d.size()
	return at
}

func alignUp(n int64) int64 { return (n + blobAlign - 1) / blobAlign * blobAlign }

func (b *blobs) write(w io.Writer) error {
	head := make([]byte, blobAlign)
	binary.LittleEndian.PutUint32(head, uint32(len(b.list)))
	binary.LittleEndian.PutUint32(head[4:], blobVersion)
	if _, err := w.Write(head); err != nil {
		return err
	}
	at := int64(blobAlign)
	for i := range b.list {
		d := &b.list[i]
		start := alignUp(at)
		record := make([]byte, start-at, start-at+blobAlign)
		record = binary.LittleEndian.AppendUint32(record, blobSentinel)
		record = binary.LittleEndian.AppendUint32(record, blobTypes[d.dtype])
		record = binary.LittleEndian.AppendUint64(record, uint64(d.size()))
		record = binary.LittleEndian.AppendUint64(record, uint64(start+blobAlign))
		// Bits of the last byte that are no element: Core ML counts elements by it.
		record = binary.LittleEndian.AppendUint64(record, uint64(8*d.size()-int64(d.count)*int64(bitsOf(d.dtype))))
		if _, err := w.Write(record[:cap(record)]); err != nil {
			return err
		}
		if err := d.writeTo(w); err != nil {
			return err
		}
		at = start + blobAlign + d.size()
	}
	return nil
}
