package qconfig

// This file says how JSON is read with lines and columns.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// jsonTree parses one JSON value into the tree that YAML gives, so that one
// reader serves both. (A YAML parser would refuse some JSON: tabs, surrogate
// pairs, long keys.) Nil stands for empty input.
func jsonTree(data []byte) (*yaml.Node, error) {
	t := &jsonReader{data: data}
	if err := checkUTF8(data); err != nil {
		return nil, err
	}
	if len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
		return nil, nil
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%v: not JSON: %w", t.place(int(max(syntax.Offset-1, 0))), err)
		}
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	t.dec = json.NewDecoder(bytes.NewReader(data))
	t.dec.UseNumber()
	n, err := t.value()
	if err != nil {
		return nil, err
	}
	if isNull(n) {
		return nil, nil
	}
	return n, nil
}

// checkUTF8 says where data stops being UTF-8.
func checkUTF8(data []byte) error {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			t := jsonReader{data: data}
			return fmt.Errorf("%v: not valid UTF-8: save the file as UTF-8", t.place(i))
		}
		i += size
	}
	return nil
}

// jsonReader builds nodes from JSON that is known to be well-formed.
type jsonReader struct {
	data []byte
	dec  *json.Decoder
	// at is the offset that position pos belongs to; both only move forward.
	at  int
	pos position
}

// place turns an offset into a position; columns count characters. Offsets must
// not decrease from call to call.
func (t *jsonReader) place(offset int) position {
	if t.pos.line == 0 {
		t.pos = position{1, 1}
	}
	for t.at < min(offset, len(t.data)) {
		r, size := utf8.DecodeRune(t.data[t.at:])
		t.at += size
		t.pos.column++
		if r == '\n' {
			t.pos = position{t.pos.line + 1, 1}
		}
	}
	return t.pos
}

// token reads the next token and says where it begins.
func (t *jsonReader) token() (json.Token, position, error) {
	start := int(t.dec.InputOffset())
	for start < len(t.data) && strings.IndexByte(" \t\r\n,:", t.data[start]) >= 0 {
		start++
	}
	p := t.place(start)
	tok, err := t.dec.Token()
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%v: %w", p, err)
	}
	return tok, p, err
}

func (t *jsonReader) value() (*yaml.Node, error) {
	tok, p, err := t.token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: p.line, Column: p.column}
	switch v := tok.(type) {
	case nil:
		n.Tag, n.Value = "!!null", "null"
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(v)
	case json.Number:
		n.Tag, n.Value = "!!int", v.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case string:
		n.Tag, n.Value, n.Style = "!!str", v, yaml.DoubleQuotedStyle
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if v == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for t.dec.More() {
			// In an object keys and values come in turn, as in a mapping node.
			item, err := t.value()
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, _, err = t.token() // the closing bracket
	}
	return n, err
}
