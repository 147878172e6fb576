// Package mlpb holds the protobuf messages of the Core ML model format that this
// module writes, generated from mlmodel.proto beside it.
//
// Messages are proto3: a scalar field of value 0 is not in the file, which Core ML
// reads as 0. Maps come in any order unless they are marshalled deterministically.
//
// To generate again, install protoc (Debian: protobuf-compiler) and the plugin
// (go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11).
package mlpb

// The folder is part of the file's registered name, because the Go registry also
// panics when two linked packages register files of one name.
//
//go:generate protoc -I ../.. --go_out=../.. --go_opt=paths=source_relative internal/mlpb/mlmodel.proto
