package weights

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/goqat/goqat/internal/safetensors"
)

// Net is a network that writes and reads all that it has learned as safetensors of F32,
// all or nothing, such as *models.Net.
type Net interface {
	Write(w io.Writer) error
	Read(r io.Reader) error
}

// ReadNet is [Read] into a network, running statistics included. Its parameters count
// as nodes with the names under which it writes them. The network's own checks come on
// top; they know, for example, which numbers must not be negative.
func ReadNet(r io.ReaderAt, size int64, net Net, opt Options) (Report, error) {
	report, err := loadNet(r, size, net, opt)
	if err != nil {
		return report, fmt.Errorf("weights: read: %w", err)
	}
	return report, nil
}

// ReadNetFile is ReadNet from a file.
func ReadNetFile(path string, net Net, opt Options) (report Report, err error) {
	err = withFile(path, func(f *os.File, size int64) (err error) {
		report, err = ReadNet(f, size, net, opt)
		return err
	})
	return report, err
}

// loadNet lets the network save itself, loads into that, and lets it load the result:
// what the network holds stays its own affair.
func loadNet(r io.ReaderAt, size int64, net Net, opt Options) (Report, error) {
	var saved bytes.Buffer
	if err := net.Write(&saved); err != nil {
		return Report{}, err
	}
	f, err := safetensors.Read(bytes.NewReader(saved.Bytes()), int64(saved.Len()))
	if err != nil {
		return Report{}, err
	}
	slots := map[string]*slot{}
	for _, name := range f.Names() {
		_, shape, _, err := f.Info(name)
		if err != nil {
			return Report{}, err
		}
		data, err := f.Float32s(name)
		if err != nil {
			return Report{}, err
		}
		slots[name] = &slot{name: name, shape: shape, f32: data}
	}
	report, err := load(r, size, slots, opt)
	if err != nil {
		return report, err
	}
	var merged bytes.Buffer
	if err := write(&merged, slots, WriteOptions{}); err != nil {
		return report, err
	}
	if err := net.Read(&merged); err != nil {
		return report, fmt.Errorf("%w: %w", ErrWeights, err)
	}
	return report, nil
}
