package qconfig

// This file says what aliases and merge keys of YAML stand for: it writes them out
// before anything else looks at the file.

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds a document with its aliases written out. A config has some hundred
// nodes; a document of a few lines could otherwise stand for billions.
const maxNodes = 1 << 16

// expander writes aliases and merge keys out.
type expander struct {
	nodes int
	open  map[*yaml.Node]bool // the anchors that are being written out
}

// expand returns n with each alias replaced by a copy of what it stands for, and each
// merge key by the keys that it brings. A key of the mapping itself wins over a merged
// one, and an earlier merged mapping over a later one (YAML 1.1, merge key).
func expand(n *yaml.Node) (*yaml.Node, error) {
	e := expander{open: map[*yaml.Node]bool{}}
	return e.expand(n)
}

func (e *expander) expand(n *yaml.Node) (*yaml.Node, error) {
	if e.nodes++; e.nodes > maxNodes {
		return nil, fmt.Errorf("line %d: more than %d values with all aliases written out", n.Line, maxNodes)
	}
	if n.Kind == yaml.AliasNode {
		if e.open[n.Alias] {
			return nil, fmt.Errorf("line %d: the anchor &%s contains itself", n.Line, n.Value)
		}
		e.open[n.Alias] = true
		defer delete(e.open, n.Alias)
		c, err := e.expand(n.Alias)
		if err != nil {
			return nil, err
		}
		c.Line, c.Column = n.Line, n.Column // where it is used
		return c, nil
	}
	c := *n
	c.Content, c.Anchor = nil, ""
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			x, err := e.expand(child)
			if err != nil {
				return nil, err
			}
			c.Content = append(c.Content, x)
		}
		return &c, nil
	}
	return &c, e.mapping(n, &c)
}

// mapping writes the pairs of n to c, merged ones behind its own.
func (e *expander) mapping(n, c *yaml.Node) error {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := e.expand(n.Content[i])
		if err != nil {
			return err
		}
		value, err := e.expand(n.Content[i+1])
		if err != nil {
			return err
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!merge" {
			c.Content = append(c.Content, key, value)
			continue
		}
		from := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			from = value.Content
		}
		for _, m := range from {
			if m.Kind != yaml.MappingNode {
				return fmt.Errorf("line %d, column %d: <<: want an alias of keys with values, or a list of them, got %s", key.Line, key.Column, describe(m))
			}
			merged = append(merged, m)
		}
	}
	have := map[string]bool{}
	for _, k := range keysOf(c) {
		have[k] = true
	}
	for _, m := range merged {
		for i := 0; i+1 < len(m.Content); i += 2 {
			if k := m.Content[i].Value; !have[k] {
				have[k] = true
				c.Content = append(c.Content, m.Content[i], m.Content[i+1])
			}
		}
	}
	return nil
}
