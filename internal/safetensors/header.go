package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// entry is what the header says of one tensor. The data is [begin, end).
type entry struct {
	name       string
	dtype      DType
	shape      []int
	begin, end int64
}

// headerParser walks a header token by token: encoding/json's decoding into maps
// would let a repeated key replace the first one unseen.
type headerParser struct {
	dec     *json.Decoder
	entries map[string]entry
	meta    map[string]string
}

// parseHeader reads a header. It checks each tensor on its own, not how they lie
// in the file.
func parseHeader(raw []byte) (map[string]entry, map[string]string, error) {
	if err := checkJSON(raw); err != nil {
		return nil, nil, err
	}
	p := headerParser{dec: json.NewDecoder(bytes.NewReader(raw)), entries: map[string]entry{}}
	p.dec.UseNumber()
	err := p.object("header", func(key string) error {
		if key == metadataKey {
			return p.metadata()
		}
		e, err := p.tensor(key)
		p.entries[key] = e
		return err
	})
	return p.entries, p.meta, err
}

// checkJSON makes sure that the walk meets nothing but well-formed JSON: an object
// in UTF-8 that ends where the header ends, spaces aside.
func checkJSON(raw []byte) error {
	if len(raw) == 0 || raw[0] != '{' {
		return fmt.Errorf("%w: header does not begin with {", ErrFormat)
	}
	if !utf8.Valid(raw) {
		return fmt.Errorf("%w: header is not valid UTF-8", ErrFormat)
	}
	var all json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("%w: header is not JSON, byte %d: %w", ErrFormat, syntax.Offset, err)
		}
		return fmt.Errorf("%w: header is not JSON: %w", ErrFormat, err)
	}
	return checkEscapes(raw)
}

// checkEscapes refuses half of a surrogate pair, the one way in which well-formed
// JSON can spell a text that is no UTF-8. encoding/json would replace it, and
// different names could become equal. Backslashes occur only inside strings here.
func checkEscapes(raw []byte) error {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // at the letter
		if raw[i] != 'u' {
			continue
		}
		u := escape(raw, i)
		i += 4
		if u < 0xd800 || u > 0xdfff {
			continue
		}
		low := uint64(0)
		if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
			low = escape(raw, i+2)
		}
		if u > 0xdbff || low < 0xdc00 || low > 0xdfff {
			return fmt.Errorf("%w: header is not valid UTF-8: byte %d holds half of a surrogate pair", ErrFormat, i-5)
		}
		i += 6
	}
	return nil
}

// escape returns the four hexadecimal digits behind the u at i.
func escape(raw []byte, i int) uint64 {
	v, err := strconv.ParseUint(string(raw[i+1:min(i+5, len(raw))]), 16, 16)
	if err != nil {
		return 0 // cannot happen in well-formed JSON
	}
	return v
}

// token returns the next token.
func (p *headerParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("%w: header is not JSON: %w", ErrFormat, err)
	}
	return t, nil
}

// object reads an object and calls value for each key; value reads what the key
// stands for. what names the object in errors.
func (p *headerParser) object(what string, value func(key string) error) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%w: %s is %s: want an object", ErrFormat, what, describe(t))
	}
	seen := map[string]bool{}
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("%w: %s has the key %s: want a text", ErrFormat, what, describe(t))
		}
		if seen[key] {
			return fmt.Errorf("%w: %s has the key %s twice", ErrFormat, what, quote(key))
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = p.token() // the closing bracket
	return err
}

func (p *headerParser) metadata() error {
	p.meta = map[string]string{}
	return p.object(metadataKey, func(key string) error {
		text, err := p.text(metadataKey + " " + quote(key))
		p.meta[key] = text
		return err
	})
}

func (p *headerParser) text(what string) (string, error) {
	t, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%w: %s is %s: want a text", ErrFormat, what, describe(t))
	}
	return s, nil
}

func (p *headerParser) tensor(name string) (entry, error) {
	e := entry{name: name}
	what := "tensor " + quote(name)
	has := map[string]bool{}
	err := p.object(what, func(key string) (err error) {
		has[key] = true
		switch key {
		case "dtype":
			var s string
			s, err = p.text(what + ": dtype")
			e.dtype = DType(s)
		case "shape":
			var dims []int64
			dims, err = p.numbers(what+": shape", math.MaxInt)
			e.shape = make([]int, len(dims))
			for i, d := range dims {
				e.shape[i] = int(d)
			}
		case "data_offsets":
			var at []int64
			at, err = p.numbers(what+": data_offsets", math.MaxInt64)
			if err == nil && len(at) != 2 {
				return fmt.Errorf("%w: %s: data_offsets has %d numbers: want begin and end", ErrFormat, what, len(at))
			}
			if err == nil {
				e.begin, e.end = at[0], at[1]
			}
		default:
			return fmt.Errorf("%w: %s: unknown key %s: want dtype, shape and data_offsets", ErrFormat, what, quote(key))
		}
		return err
	})
	if err != nil {
		return e, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !has[key] {
			return e, fmt.Errorf("%w: %s: key %s is missing", ErrFormat, what, key)
		}
	}
	size, err := byteSize(e.dtype, e.shape)
	if err != nil {
		return e, fmt.Errorf("%w: %s: %w", ErrFormat, what, err)
	}
	if e.begin > e.end || e.end-e.begin != size {
		return e, fmt.Errorf("%w: %s: data_offsets [%d, %d) for %s of shape %s, which takes %d bytes",
			ErrFormat, what, e.begin, e.end, e.dtype, shapeText(e.shape), size)
	}
	return e, nil
}

// numbers reads a list of whole numbers from 0 to limit.
func (p *headerParser) numbers(what string, limit uint64) ([]int64, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, fmt.Errorf("%w: %s is %s: want a list", ErrFormat, what, describe(t))
	}
	var list []int64
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		n, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%w: %s holds %s: want whole numbers", ErrFormat, what, describe(t))
		}
		v, err := strconv.ParseUint(n.String(), 10, 64) // refuses signs, fractions and exponents
		if err != nil || v > limit {
			return nil, fmt.Errorf("%w: %s holds %s: want whole numbers from 0 to %d", ErrFormat, what, describe(t), limit)
		}
		list = append(list, int64(v))
	}
	_, err = p.token() // the closing bracket
	return list, err
}

// describe says in words what a token is.
func describe(t json.Token) string {
	switch v := t.(type) {
	case nil:
		return "null"
	case string:
		return "the text " + quote(v)
	case json.Number:
		if s := v.String(); len(s) > maxShown {
			return "the number " + s[:maxShown] + "…"
		}
		return "the number " + v.String()
	case json.Delim:
		if v == '[' {
			return "a list"
		}
		return "an object"
	}
	return fmt.Sprint(t)
}
