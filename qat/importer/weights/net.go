package weights

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/goqat/goqat/internal/safetensors"
)

// Net is a network that saves and loads all that it has learned as safetensors of F32,
// all or nothing, such as *models.Net.
type Net interface {
	Save(w io.Writer) error
	Load(r io.Reader) error
}

// LoadNet is [Load] into a network, running statistics included. Its parameters count
// as nodes with the names under which it saves them. The network's own checks come on
// top; they know, for example, which numbers must not be negative.
func LoadNet(r io.ReaderAt, size int64, net Net, opt Options) (Report, error) {
	report, err := loadNet(r, size, net, opt)
	if err != nil {
		return report, fmt.Errorf("weights: load: %w", err)
	}
	return report, nil
}

// LoadNetFile is LoadNet from a file.
func LoadNetFile(path string, net Net, opt Options) (report Report, err error) {
	err = withFile(path, func(f *os.File, size int64) (err error) {
		report, err = LoadNet(f, size, net, opt)
		return err
	})
	return report, err
}

// loadNet lets the network save itself, loads into that, and lets it load the result:
// what the network holds stays its own affair.
func loadNet(r io.ReaderAt, size int64, net Net, opt Options) (Report, error) {
	var saved bytes.Buffer
	if err := net.Save(&saved); err != nil {
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
	if err := write(&merged, slots, SaveOptions{}); err != nil {
		return report, err
	}
	if err := net.Load(&merged); err != nil {
		return report, fmt.Errorf("%w: %w", ErrWeights, err)
	}
	return report, nil
}

// sorted returns the slots in the order of their names.
func sorted(slots map[string]*slot) []*slot {
	out := make([]*slot, 0, len(slots))
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		out = append(out, slots[name])
	}
	return out
}
