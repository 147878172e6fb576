package graph

import (
	"fmt"
	"reflect"

	"gorgonia.org/gorgonia"
)

// opName is the type name of one of Gorgonia's own ops, or "" for ops from
// elsewhere. Gorgonia does not export its op types; their names and fields are what
// there is to recognise them by, and the tests notice when they change.
func opName(op gorgonia.Op) string {
	if op == nil {
		return ""
	}
	t := reflect.TypeOf(op)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() != "gorgonia.org/gorgonia" {
		return ""
	}
	return t.Name()
}

// fields reads the fields of an op by reflection and remembers the first failure.
type fields struct {
	v   reflect.Value
	err error
}

func fieldsOf(x any) *fields {
	v := reflect.ValueOf(x)
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return &fields{v: v}
}

func (f *fields) get(name string, kinds ...reflect.Kind) (reflect.Value, bool) {
	if f.err != nil {
		return reflect.Value{}, false
	}
	if f.v.Kind() != reflect.Struct {
		f.err = fmt.Errorf("%v is no struct: goqat knows Gorgonia v0.9.18", f.v.Kind())
		return reflect.Value{}, false
	}
	x := f.v.FieldByName(name)
	for _, k := range kinds {
		if x.IsValid() && x.Kind() == k {
			return x, true
		}
	}
	f.err = fmt.Errorf("%v has no usable field %s: goqat knows Gorgonia v0.9.18", f.v.Type(), name)
	return reflect.Value{}, false
}

func (f *fields) int(name string) int {
	if x, ok := f.get(name, reflect.Int, reflect.Uint8, reflect.Uint); ok {
		if x.CanUint() {
			return int(x.Uint())
		}
		return int(x.Int())
	}
	return 0
}

func (f *fields) bool(name string) bool {
	x, ok := f.get(name, reflect.Bool)
	return ok && x.Bool()
}

func (f *fields) float(name string) float64 {
	if x, ok := f.get(name, reflect.Float64); ok {
		return x.Float()
	}
	return 0
}

func (f *fields) str(name string) string {
	if x, ok := f.get(name, reflect.String); ok {
		return x.String()
	}
	return ""
}

func (f *fields) ints(name string) []int {
	x, ok := f.get(name, reflect.Slice)
	if !ok {
		return nil
	}
	out := make([]int, x.Len())
	for i := range out {
		out[i] = int(x.Index(i).Int())
	}
	return out
}

func (f *fields) floats(name string) []float32 {
	x, ok := f.get(name, reflect.Slice)
	if !ok {
		return nil
	}
	out := make([]float32, x.Len())
	for i := range out {
		out[i] = float32(x.Index(i).Float())
	}
	return out
}

// inner goes on inside an interface or struct field.
func (f *fields) inner(name string) *fields {
	x, ok := f.get(name, reflect.Interface, reflect.Struct)
	if !ok {
		return &fields{err: f.err}
	}
	for x.Kind() == reflect.Interface || x.Kind() == reflect.Pointer {
		x = x.Elem()
	}
	return &fields{v: x}
}

// userName is the name that the user gave a node, without Gorgonia's made-up one.
func userName(n *gorgonia.Node) string { return fieldsOf(n).str("name") }

// isConst reports whether the node is a constant of the graph.
func isConst(n *gorgonia.Node) bool {
	switch opName(n.Op()) {
	case "constantScalar", "constantTensor":
		return true
	}
	return false
}

// isLeaf reports whether the node is a variable: no op computes it.
func isLeaf(n *gorgonia.Node) bool { return n.Op() == nil }
