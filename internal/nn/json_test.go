package nn

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

func TestJSONRoundTrip(t *testing.T) {
	for _, c := range layerCases() {
		data, err := MarshalOp(c.op)
		if err != nil {
			t.Fatal(err)
		}
		got, err := UnmarshalOp(c.op.Kind(), data)
		if err != nil {
			t.Errorf("%s: %s: %v", c.name, data, err)
		} else if !reflect.DeepEqual(got, c.op) {
			t.Errorf("%s: %s gave %#v, want %#v", c.name, data, got, c.op)
		}
	}
}

func TestCasesCoverAllKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range layerCases() {
		seen[c.op.Kind()] = true
	}
	kinds := Kinds()
	for _, k := range kinds {
		if !seen[k] {
			t.Errorf("no case of kind %s", k)
		}
	}
	if len(seen) != len(kinds) {
		t.Errorf("cases have %d kinds, want %d", len(seen), len(kinds))
	}
}

func TestUnmarshalErrors(t *testing.T) {
	good := `{"stride":[1,1],"pad":[0,0,0,0],"dilation":[1,1],"groups":1}`
	if _, err := UnmarshalOp("conv", []byte(good)); err != nil {
		t.Fatal(err)
	}
	if _, err := UnmarshalOp("relu", []byte(`{"fn":"relu","alpha":0}`)); err != nil {
		t.Errorf("an omitted default, spelt out: %v", err)
	}
	for _, c := range []struct{ kind, data string }{
		{"convolution", good},
		{"", `{}`},
		{"matmul", ``},
		{"matmul", `null`},
		{"matmul", `[]`},
		{"matmul", `{} {}`},
		{"matmul", `{}x`},
		{"matmul", `{"trans_c":true}`},
		{"matmul", `{"Trans_A":true}`},
		{"matmul", `{"Trans_A":false}`},
		{"matmul", `{"trans_a":null}`},
		{"matmul", `{"trans_a":1}`},
		{"conv", `{}`},
		{"conv", `{"stride":[1,1,1],"pad":[0,0,0,0],"dilation":[1,1],"groups":1}`},
		{"conv", `{"stride":[1,1],"pad":[0,0],"dilation":[1,1],"groups":1}`},
		{"add", `{"fn":"sub"}`},
		{"add", `{}`},
		{"relu", `{"fn":"tanh"}`},
		{"max_pool", `{"average":true,"kernel":[1,1],"stride":[1,1],"pad":[0,0,0,0]}`},
		{"softmax", `{"axis":0,"log":true}`},
		{"reduce_sum", `{"fn":"mean","axes":[0]}`},
		{"reduce_range", `{"fn":"range","axes":[0]}`},
		{"reduce_sum", `{"fn":"sum"}`},
		{"slice", `{"axis":0,"start":0,"end":1.5,"step":1}`},
	} {
		op, err := UnmarshalOp(c.kind, []byte(c.data))
		if !errors.Is(err, ErrSettings) {
			t.Errorf("%s %s: %v, error %v, want ErrSettings", c.kind, c.data, op, err)
		}
		if err != nil && op != nil {
			t.Errorf("%s %s: an error and a layer", c.kind, c.data)
		}
	}
}

func TestMarshalErrors(t *testing.T) {
	for _, op := range []Op{nil, Conv{}, strange{}, &MatMul{}} {
		if _, err := MarshalOp(op); !errors.Is(err, ErrSettings) {
			t.Errorf("%#v: error %v, want ErrSettings", op, err)
		}
	}
}

func FuzzUnmarshalOp(f *testing.F) {
	for _, c := range layerCases() {
		data, err := json.Marshal(c.op)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.op.Kind(), data)
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		op, err := UnmarshalOp(kind, data)
		if err != nil {
			return
		}
		again, err := MarshalOp(op)
		if err != nil {
			t.Fatalf("%s %s decodes to %#v, which does not encode: %v", kind, data, op, err)
		}
		if back, err := UnmarshalOp(kind, again); err != nil || !reflect.DeepEqual(back, op) {
			t.Fatalf("%s %s: %#v came back as %#v, error %v", kind, data, op, back, err)
		}
		// No settings may make shape arithmetic panic.
		for _, in := range [][][]int{{{2, 4, 5, 5}}, {{2, 4, 5, 5}, {4, 4, 3, 3}}, {{3, 4}, {4, 5}}, {{}}, nil} {
			if s, err := OutShape(op, in); err == nil && product(s) > maxElements {
				t.Fatalf("%#v of %v: shape %v", op, in, s)
			}
		}
	})
}
