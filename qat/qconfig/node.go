package qconfig

// This file says how a value of a text is read, and what is wrong with it.

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goqat/goqat/internal/words"
	"go.yaml.in/yaml/v3"
)

// reader takes in the value of one key.
type reader func(n *yaml.Node, path string) error

// fields reads a mapping whose keys are known. A null is not a mapping.
func (c *Config) fields(n *yaml.Node, path string, known map[string]reader) error {
	return c.mapping(n, path, func(key string, k, value *yaml.Node, path string) error {
		read, ok := known[key]
		if !ok {
			options := make([]string, 0, len(known))
			for o := range known {
				options = append(options, o)
			}
			slices.Sort(options)
			return c.fault(path, "unknown key: %s", words.Suggest(key, options))
		}
		return read(value, path)
	})
}

// mapping calls visit for each key and value, in the order of the text, and
// refuses keys that are no text or come twice.
func (c *Config) mapping(n *yaml.Node, path string, visit func(key string, k, value *yaml.Node, path string) error) error {
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		c.mark(path, n)
		return c.fault(path, "want keys with values, got %s", describe(n))
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" {
			at := join(path, "?")
			c.mark(at, k)
			return c.fault(at, "want a text as key, got %s%s", describe(k), quotesHint(k))
		}
		at := join(path, k.Value)
		if line, ok := seen[k.Value]; ok {
			c.mark(at, k)
			return c.fault(at, "the key is there twice, first in line %d: remove one", line)
		}
		seen[k.Value] = k.Line
		c.mark(at, k)
		if err := visit(k.Value, k, value, at); err != nil {
			return err
		}
	}
	return nil
}

// list returns the items of a sequence; a null has none.
func (c *Config) list(n *yaml.Node, path string) ([]*yaml.Node, error) {
	if isNull(n) {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		return nil, c.fault(path, "want a list, got %s", describe(n))
	}
	return n.Content, nil
}

// scalar checks that n is a single value of the type that tag stands for.
func (c *Config) scalar(n *yaml.Node, path, tag, want string) error {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == tag {
		return nil
	}
	hint := ""
	switch {
	case isNull(n):
		hint = ": leave the key out for the default"
	case tag == "!!str":
		hint = quotesHint(n)
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		hint = ": remove the quotes"
	}
	return c.fault(path, "want %s, got %s%s", want, describe(n), hint)
}

// mark remembers where the setting at path was written.
func (c *Config) mark(path string, n *yaml.Node) {
	c.source.lines[path] = position{n.Line, n.Column}
}

// quotesHint is the cure for a number or a truth value where a text belongs.
func quotesHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!merge" || isNull(n) {
		return ""
	}
	return ": put it in quotes"
}

// describe says in words what n is.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values" + tagged(n, "!!map")
	case yaml.SequenceNode:
		return "a list" + tagged(n, "!!seq")
	}
	switch tag := n.ShortTag(); tag {
	case "!!null":
		return "null"
	case "!!str":
		return "the text " + words.Quote(n.Value)
	case "!!int", "!!float":
		return "the number " + strings.Trim(words.Quote(n.Value), `"`)
	case "!!bool":
		return n.Value
	default:
		return fmt.Sprintf("%s with the tag %s", words.Quote(n.Value), words.Quote(tag))
	}
}

func tagged(n *yaml.Node, standard string) string {
	if tag := n.ShortTag(); tag != standard {
		return " with the tag " + words.Quote(tag) + ": remove the tag"
	}
	return ""
}

// isNull says whether n is a null.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// keysOf lists the keys of a mapping; none for anything else.
func keysOf(n *yaml.Node) []string {
	var keys []string
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			keys = append(keys, n.Content[i].Value)
		}
	}
	return keys
}

// readInt reads a whole number in decimal.
func (c *Config) readInt(n *yaml.Node, path string) (int, error) {
	if err := c.scalar(n, path, "!!int", "a whole number"); err != nil {
		return 0, err
	}
	// Only one spelling: 010 is eight to some readers and ten to others.
	v, err := strconv.Atoi(n.Value)
	if err != nil || strconv.Itoa(v) != n.Value {
		return 0, c.fault(path, "%s: want a whole number in plain decimal digits", words.Quote(n.Value))
	}
	return v, nil
}

// readCount reads a whole number that may not be 0, which in Tensor means
// "not set".
func (c *Config) readCount(n *yaml.Node, path string) (int, error) {
	v, err := c.readInt(n, path)
	if err == nil && v <= 0 {
		err = c.fault(path, "%d: want at least 1, or leave the key out for the default", v)
	}
	return v, err
}

func (c *Config) readConstant(n *yaml.Node, path string, out *float64) error {
	if n.ShortTag() != "!!int" {
		if err := c.scalar(n, path, "!!float", "a number"); err != nil {
			return err
		}
	}
	v, err := strconv.ParseFloat(n.Value, 64)
	if err != nil {
		return c.fault(path, "%s: want a plain decimal number, such as 0.01", words.Quote(n.Value))
	}
	if v == 0 {
		return c.fault(path, "0: want above 0, or leave the key out for the default")
	}
	*out = v
	return nil
}

func (c *Config) readSwitch(n *yaml.Node, path string) (Switch, error) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		if v, err := strconv.ParseBool(n.Value); err != nil {
			return "", c.fault(path, "%s: want true or false", words.Quote(n.Value))
		} else if v {
			return Yes, nil
		}
		return No, nil
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value == string(Auto) {
		return Auto, nil
	}
	return "", c.scalar(n, path, "!!bool", "true, false or (for unsigned of activations) auto")
}

// readWord reads a text that may not be empty, which in Tensor means "not
// set".
func readWord[T ~string](c *Config, n *yaml.Node, path string, out *T) error {
	if err := c.scalar(n, path, "!!str", "a text"); err != nil {
		return err
	}
	if n.Value == "" {
		return c.fault(path, "the text is empty: write a word, or leave it out")
	}
	*out = T(n.Value)
	return nil
}
