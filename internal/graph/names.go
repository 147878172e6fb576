package graph

import (
	"fmt"
	"strings"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// namer gives unique names.
type namer struct {
	values, layers map[string]bool
	count          map[string]int
}

func newNamer() *namer {
	return &namer{values: map[string]bool{}, layers: map[string]bool{}, count: map[string]int{}}
}

// unique makes a value name unique with a "#2", "#3" … suffix.
func (n *namer) unique(name string) string { return uniqueIn(n.values, name) }

func uniqueIn(taken map[string]bool, name string) string {
	out := name
	for i := 2; taken[out]; i++ {
		out = fmt.Sprintf("%s#%d", name, i)
	}
	taken[out] = true
	return out
}

// value names a leaf: the user's name, or its role with a number.
func (n *namer) value(v *Value, user string) string {
	if user == "" {
		user = n.numbered(v.Role.String(), n.values)
	}
	return n.unique(user)
}

// layer names a layer: after its weight, after the user's name for the node, or by
// its kind with a number.
func (n *namer) layer(l *Layer, user string) string {
	if w := weightName(l); w != "" {
		return uniqueIn(n.layers, w)
	}
	if user == "" {
		user = n.numbered(l.Kind(), n.layers)
	}
	return uniqueIn(n.layers, user)
}

func (n *namer) numbered(kind string, taken map[string]bool) string {
	for {
		name := fmt.Sprintf("%s_%d", kind, n.count[kind])
		n.count[kind]++
		if !taken[name] {
			return name
		}
	}
}

// Weight returns the parameter that a convolution or matrix product multiplies
// with, looked at through reshapes and transposes, or nil.
func (l *Layer) Weight() *Value {
	w := nn.TraitsOf(l.Op).Weights
	if w == nil {
		return nil
	}
	candidates := []*Value{l.In[1], l.In[0]}
	if !w.Either {
		candidates = candidates[:1]
	}
	for _, v := range candidates {
		if b := v.Base(); b.Role == Param {
			return b
		}
	}
	return nil
}

func weightName(l *Layer) string {
	w := l.Weight()
	if w == nil || userName(w.Node) == "" {
		return ""
	}
	for _, suffix := range []string{".weight", "_weight"} {
		if s, ok := strings.CutSuffix(w.Name, suffix); ok && s != "" {
			return s
		}
	}
	return w.Name
}

// checkNames refuses two parameters of one name: nothing could tell them apart in a
// configuration or a file.
func (r *reader) checkNames() error {
	seen := map[string]*gorgonia.Node{}
	for _, n := range r.order {
		if role, leaf := r.roles[n]; !leaf || role != Param {
			continue
		}
		name := userName(n)
		if name == "" {
			continue
		}
		if o := seen[name]; o != nil && o != n {
			return fmt.Errorf("graph: two parameters are named %q (shapes %v and %v): give each its own name with gorgonia.WithName", name, o.Shape(), n.Shape())
		}
		seen[name] = n
	}
	return nil
}
