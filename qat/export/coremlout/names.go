package coremlout

// This file says which names a program may use.

import (
	"strconv"
	"strings"
)

// reserved are words of the text form of MIL (coremltools,
// converters/mil/mil/passes/defs/preprocess.py, and the types that came later).
var reserved = map[string]bool{
	"any": true, "bool": true, "program": true, "func": true, "tensor": true, "list": true, "dict": true,
	"tuple": true, "true": true, "false": true, "string": true, "state": true,
	"bf16": true, "fp16": true, "fp32": true, "fp64": true,
	"int4": true, "int8": true, "int16": true, "int32": true, "int64": true,
	"uint1": true, "uint2": true, "uint3": true, "uint4": true, "uint6": true, "uint8": true,
	"uint16": true, "uint32": true, "uint64": true,
}

// identifier turns a name into [A-Za-z][A-Za-z0-9_]* that is no reserved word: each
// other character becomes an underscore, and "var" or "var_" goes in front where the
// first is no letter.
func identifier(name string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	switch {
	case s == "" || s[0] >= '0' && s[0] <= '9':
		return "var_" + s
	case s[0] == '_':
		return "var" + s
	case reserved[s]:
		return s + "_"
	}
	return s
}

// names hands out identifiers, each once. All values of a function share them.
type names map[string]bool

// unique reserves the identifier base, or the next free one with a number behind it.
func (n names) unique(base string) string {
	free := base
	for i := 2; n[free]; i++ {
		free = base + "_" + strconv.Itoa(i)
	}
	n[free] = true
	return free
}
