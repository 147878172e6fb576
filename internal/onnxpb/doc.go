// Package onnxpb holds the protobuf messages of the ONNX file format that this
// module reads and writes, generated from onnx.proto beside it.
//
// Fields are pointers (proto2), because a value of 0 and an absent value differ in
// ONNX: an attribute i = 0 must be in the file.
//
// To generate again, install protoc (Debian: protobuf-compiler) and the plugin
// (go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11).
package onnxpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative onnx.proto
