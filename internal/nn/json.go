package nn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// MarshalOp returns the layer's settings as JSON. Together with op.Kind() they
// are all of it. Errors wrap ErrSettings.
func MarshalOp(op Op) ([]byte, error) {
	if err := Check(op); err != nil {
		return nil, err
	}
	data, err := json.Marshal(op)
	if err != nil {
		return nil, settingsErr(op, "%w", err)
	}
	return data, nil
}

// UnmarshalOp undoes MarshalOp. It is strict: an unknown kind, unknown, misspelt
// or null fields, arrays of the wrong length, anything after the object, a kind
// that contradicts the settings, and settings that [Check] refuses are errors
// that wrap ErrSettings.
func UnmarshalOp(kind string, data []byte) (Op, error) {
	e := byKind[kind]
	if e == nil {
		return nil, fmt.Errorf("%w: unknown layer kind %q", ErrSettings, kind)
	}
	op, err := e.decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w of layer kind %q: %w", ErrSettings, kind, err)
	}
	if err := Check(op); err != nil {
		return nil, err
	}
	if op.Kind() != kind {
		return nil, fmt.Errorf("%w: layer kind %q holds the settings of %q", ErrSettings, kind, op.Kind())
	}
	return op, nil
}

func decode[T Op](data []byte) (Op, error) {
	var op T
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&op); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("data after the object at byte %d", dec.InputOffset())
	}
	return op, faithful(data, op)
}

// faithful compares the object with what its settings encode to. encoding/json
// alone accepts names in another case, null, and arrays of another length.
func faithful(data []byte, op Op) error {
	again, err := json.Marshal(op)
	if err != nil {
		return err
	}
	var got, want map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		return err
	}
	if err := json.Unmarshal(again, &want); err != nil {
		return err
	}
	if got == nil {
		return fmt.Errorf("null instead of an object")
	}
	names := fieldNames(op)
	for name, v := range got {
		w, ok := want[name]
		switch {
		case !slices.Contains(names, name):
			return fmt.Errorf("unknown field %q, want one of %q", name, names)
		case ok && reflect.DeepEqual(v, w):
		case !ok && (v == false || v == 0.0): // an omitted default, spelt out
		default:
			return fmt.Errorf("field %q cannot hold %v", name, v)
		}
	}
	return nil
}

// fieldNames lists the JSON names of a layer's settings.
func fieldNames(op Op) []string {
	var names []string
	for f := range reflect.TypeOf(op).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
