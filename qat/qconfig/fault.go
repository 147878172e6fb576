package qconfig

// This file says which key an error is about, and where it stands.

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goqat/goqat/internal/words"
)

// fault makes an error about the setting at path, such as "types.conv.weights",
// and says where it was written, if that is known.
func (c Config) fault(path, format string, args ...any) error {
	return c.source.fault(path, format, args...)
}

func (s *source) fault(path, format string, args ...any) error {
	where := ""
	if s != nil {
		if spelled, ok := s.alias[path]; ok {
			path = spelled
		}
		if s.file != "" {
			where = s.file + ": "
		}
		if p, ok := s.lines[path]; ok {
			where += fmt.Sprintf("line %d, column %d: ", p.line, p.column)
		}
	}
	if r := []rune(path); len(r) > maxPath {
		path = "…" + string(r[len(r)-maxPath:])
	}
	if path != "" {
		path += ": "
	}
	return fmt.Errorf("%w: %s%s%s", ErrConfig, where, path, fmt.Sprintf(format, args...))
}

// maxPath is how much of a path an error shows, in letters; the last ones say most.
const maxPath = 160

// join appends a key to a path. Keys that would make the path ambiguous are
// quoted.
func join(path, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r == '.' || r == '"' || r == 0x7f }) || utf8.RuneCountInString(key) > words.MaxQuoted {
		key = fmt.Sprintf("%q", key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func (p position) String() string { return fmt.Sprintf("line %d, column %d", p.line, p.column) }

// checkWord checks that word is one of the options, or unset.
func (c Config) checkWord(path, word string, options []string) error {
	if word == "" || slices.Contains(options, word) {
		return nil
	}
	return c.fault(path, "unknown value %s: %s", words.Quote(word), words.Suggest(word, options))
}
