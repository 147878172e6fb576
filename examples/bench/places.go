package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// place is where in the code the samples of a kind of op are.
type place struct {
	samples, vector int64
	others          map[string]int64 // samples by function that is no vector code
}

// slowest is the function with the most samples outside of vector code.
func (p *place) slowest() string {
	best := ""
	for _, f := range slices.Sorted(maps.Keys(p.others)) {
		if best == "" || p.others[f] > p.others[best] {
			best = f
		}
	}
	return short(best)
}

// short is a function's name without the path of its package.
func short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// parts is the part of the samples in each function outside of vector code, from one percent on.
func (p *place) parts() map[string]float64 {
	out := map[string]float64{}
	for f, n := range p.others {
		if part := round(float64(n)/float64(p.samples), 3); part >= 0.01 {
			out[short(f)] += part
		}
	}
	return out
}

// vectorCode reports whether a function is the project's assembly, all of which is
// kernels on vectors, or one of the run-time system's loops over memory. Other assembly,
// the elementary functions of package math for one, takes one number at a time.
func vectorCode(name, file string) bool {
	switch name {
	case "runtime.memmove", "runtime.memclrNoHeapPointers":
		return true
	}
	return strings.HasSuffix(file, ".s") && strings.HasPrefix(name, "github.com/goqat/goqat/")
}

// A profile is a gzipped protocol buffer, described in profile.proto of
// github.com/google/pprof. These are the numbers of the fields that are read here.
const (
	profileSample, profileLocation, profileFunction, profileString = 2, 4, 5, 6

	sampleLocation, sampleValue, sampleLabel = 1, 2, 3
	labelKey, labelText                      = 1, 2
	locationID, locationLine                 = 1, 4
	lineFunction                             = 1
	functionID, functionName, functionFile   = 1, 2, 4
)

// message is a protocol buffer's fields: numbers, and bytes of strings and messages.
type message struct {
	numbers map[protowire.Number][]uint64
	parts   map[protowire.Number][][]byte
}

var errProfile = errors.New("not a profile")

func parseMessage(b []byte) (message, error) {
	m := message{map[protowire.Number][]uint64{}, map[protowire.Number][][]byte{}}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m, errProfile
		}
		b = b[n:]
		switch typ {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n >= 0 {
				m.numbers[num] = append(m.numbers[num], v)
			}
		case protowire.BytesType:
			var part []byte
			if part, n = protowire.ConsumeBytes(b); n >= 0 {
				m.parts[num] = append(m.parts[num], part)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return m, errProfile
		}
		b = b[n:]
	}
	return m, nil
}

// list is a repeated number, packed or not.
func (m message) list(num protowire.Number) []uint64 {
	all := m.numbers[num]
	for _, part := range m.parts[num] {
		for len(part) > 0 {
			v, n := protowire.ConsumeVarint(part)
			if n < 0 {
				break
			}
			all, part = append(all, v), part[n:]
		}
	}
	return all
}

// one is a number, 0 where it is missing.
func (m message) one(num protowire.Number) uint64 {
	if v := m.list(num); len(v) > 0 {
		return v[0]
	}
	return 0
}

// profile is a parsed profile's tables.
type profile struct {
	strings   [][]byte
	functions map[uint64]message
	leaves    map[uint64]uint64 // innermost function of a location
}

func (p profile) text(i uint64) string {
	if i >= uint64(len(p.strings)) {
		return ""
	}
	return string(p.strings[i])
}

// places sums up the samples of a profile by the label of the op.
func places(raw []byte) (map[string]*place, error) {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	m, err := parseMessage(data)
	if err != nil {
		return nil, err
	}
	p := profile{strings: m.parts[profileString], functions: map[uint64]message{}, leaves: map[uint64]uint64{}}
	for _, b := range m.parts[profileFunction] {
		f, err := parseMessage(b)
		if err != nil {
			return nil, err
		}
		p.functions[f.one(functionID)] = f
	}
	for _, b := range m.parts[profileLocation] {
		l, err := parseMessage(b)
		if err != nil {
			return nil, err
		}
		if lines := l.parts[locationLine]; len(lines) > 0 {
			line, err := parseMessage(lines[0]) // that of the innermost of inlined functions
			if err != nil {
				return nil, err
			}
			p.leaves[l.one(locationID)] = line.one(lineFunction)
		}
	}
	out := map[string]*place{}
	for _, b := range m.parts[profileSample] {
		s, err := parseMessage(b)
		if err != nil {
			return nil, err
		}
		if err := p.add(out, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// add counts a sample; those without a label belong to no op.
func (p profile) add(out map[string]*place, s message) error {
	what := ""
	for _, b := range s.parts[sampleLabel] {
		l, err := parseMessage(b)
		if err != nil {
			return err
		}
		if p.text(l.one(labelKey)) == opLabel {
			what = p.text(l.one(labelText))
		}
	}
	at := s.list(sampleLocation)
	if what == "" || len(at) == 0 {
		return nil
	}
	to := out[what]
	if to == nil {
		to = &place{others: map[string]int64{}}
		out[what] = to
	}
	f := p.functions[p.leaves[at[0]]]
	n := int64(s.one(sampleValue)) // the first value counts samples
	to.samples += n
	if name := p.text(f.one(functionName)); vectorCode(name, p.text(f.one(functionFile))) {
		to.vector += n
	} else {
		to.others[name] += n
	}
	return nil
}
