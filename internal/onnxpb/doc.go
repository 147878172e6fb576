// Package onnxpb holds the protobuf messages of the ONNX file format that this
// module reads and writes, generated from onnx.proto beside it.
//
// Fields are pointers (proto2), because a value of 0 and an absent value differ in
// ONNX: an attribute i = 0 must be in the file.
//
// To generate again, install protoc (Debian: protobuf-compiler) and the plugin
// (go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11).
package onnxpb

// The folder is part of the file's registered name, because the Go registry also
// panics when two linked packages register files of one name.
//
//go:generate protoc -I ../.. --go_out=../.. --go_opt=paths=source_relative internal/onnxpb/onnx.proto
