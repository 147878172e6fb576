package coremlout

// This file says which files a package has.

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
	"google.golang.org/protobuf/proto"
)

// The parts of a package (coremltools, modelpackage/src/ModelPackage.cpp).
const (
	extension    = ".mlpackage"
	manifestName = "Manifest.json"
	dataName     = "Data"
	itemAuthor   = "com.apple.CoreML"
	modelName    = "model.mlmodel"
	weightsName  = "weights"
	weightFile   = "weight.bin"
)

// WriteDir writes the network as a Core ML package, a folder whose name must end in
// .mlpackage, in a folder that exists. The package is complete before it gets its
// name. A package that is there already is replaced as a whole: it is moved aside,
// comes back if the new one cannot take its place, and is deleted else. Anything else
// at path is left alone, and WriteDir fails, wrapping ErrPath.
//
// WriteDir fails before it writes anything when the network or the options are not
// valid, or when a layer or a tensor has no form that the Target knows (wrapping
// ErrUnsupported; the error names it and the cure). The network is only read. Equal
// networks and options give equal bytes with the same version of this module.
func WriteDir(path string, n *frozen.Network, opt Options) error {
	model, weights, err := newModel(n, opt)
	if err == nil {
		err = writePackage(path, model, weights)
	}
	if err != nil {
		return fmt.Errorf("coremlout: %w", err)
	}
	return nil
}

func writePackage(path string, model *mlpb.Model, weights *blobs) error {
	path = filepath.Clean(path)
	if err := checkPath(path); err != nil {
		return err
	}
	if size := int64(proto.Size(model)); size > math.MaxInt32 {
		return fmt.Errorf("%w: the program takes %d bytes, protobuf ends at %d", ErrUnsupported, size, math.MaxInt32)
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(model)
	if err != nil {
		return err
	}
	return writeFolder(path, func(dir string) error { return fill(dir, text, weights) })
}

// writeFolder has fill fill a new folder beside path, and gives it that name. When that
// fails, what is at path stays, and the new folder is deleted.
func writeFolder(path string, fill func(dir string) error) error {
	temp, err := beside(path, "tmp", func(name string) error { return os.Mkdir(name, 0o777) })
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // nothing is there any more once it has its name
	if err := fill(temp); err != nil {
		return err
	}
	return replace(path, temp)
}

// checkPath wants a path that is free or a package.
func checkPath(path string) error {
	if !strings.EqualFold(filepath.Ext(path), extension) {
		return fmt.Errorf("%w: %s: the name of the folder must end in %s", ErrPath, path, extension)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%w: %s exists and is no folder: remove it, or choose another name", ErrPath, path)
	}
	if err := checkPackage(path); err != nil {
		return fmt.Errorf("%w: %s exists and is no Core ML package: %w: remove it, or choose another name", ErrPath, path, err)
	}
	return nil
}

// checkPackage wants a folder of nothing but a manifest and data, so that replacing it
// destroys nothing else.
func checkPackage(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case manifestName, dataName, ".DS_Store": // the last is the macOS Finder's
		default:
			return fmt.Errorf("it holds %q", e.Name())
		}
	}
	text, err := os.ReadFile(filepath.Join(path, manifestName))
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	if _, ok := m.Items[m.Root]; !ok {
		return fmt.Errorf("%s names no model", manifestName)
	}
	return nil
}

// manifest is Manifest.json.
type manifest struct {
	Version string          `json:"fileFormatVersion"`
	Items   map[string]item `json:"itemInfoEntries"`
	Root    string          `json:"rootModelIdentifier"`
}

type item struct {
	Author      string `json:"author"`
	Description string `json:"description"`
	Name        string `json:"name"`
	Path        string `json:"path"`
}

// fill writes the parts of the package into dir and syncs them to disk.
func fill(dir string, model []byte, weights *blobs) error {
	root := filepath.Join(dir, dataName, itemAuthor)
	if err := os.MkdirAll(filepath.Join(root, weightsName), 0o777); err != nil {
		return err
	}
	digest := sha256.New()
	err := writeFile(filepath.Join(root, modelName), digest, func(w io.Writer) error {
		_, err := w.Write(model)
		return err
	})
	if err == nil {
		err = writeFile(filepath.Join(root, weightsName, weightFile), digest, weights.write)
	}
	if err != nil {
		return err
	}
	// The ids come from the content, so that equal packages are equal in every byte.
	modelID, weightsID := uuid(digest, modelName), uuid(digest, weightsName)
	text, err := json.MarshalIndent(manifest{
		Version: "1.0.0",
		Root:    modelID,
		Items: map[string]item{
			modelID:   {itemAuthor, "CoreML Model Specification", modelName, itemAuthor + "/" + modelName},
			weightsID: {itemAuthor, "CoreML Model Weights", weightsName, itemAuthor + "/" + weightsName},
		},
	}, "", "    ")
	if err != nil {
		return err
	}
	err = writeFile(filepath.Join(dir, manifestName), digest, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	for _, folder := range []string{filepath.Join(root, weightsName), root, filepath.Dir(root), dir} {
		syncFolder(folder)
	}
	return err
}

// uuid makes an identifier of what digest has seen and a label, in the form of RFC
// 9562's version 8, which is free for such uses.
func uuid(digest hash.Hash, label string) string {
	sum := sha256.Sum256(append(digest.Sum(nil), label...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// writeFile makes a file of what write writes, which also goes into the digest, and
// syncs it.
func writeFile(path string, digest io.Writer, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriterSize(f, 1<<16)
	if err := write(io.MultiWriter(buffered, digest)); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// replace gives temp the name path.
func replace(path, temp string) error {
	defer syncFolder(filepath.Dir(path))
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(temp, path)
	}
	if err := checkPath(path); err != nil { // writing took a while
		return err
	}
	old, err := beside(path, "old", func(name string) error { return os.Rename(path, name) })
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		if back := os.Rename(old, path); back != nil {
			return fmt.Errorf("%w; the former package is %s: %w", err, old, back)
		}
		return err
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("the package is written, but its former version %s is still there: %w", old, err)
	}
	return nil
}

// beside calls use with a free hidden name in the folder of path, and returns it.
// Names hold 64 random bits, so a second attempt is already unlikely.
func beside(path, suffix string, use func(name string) error) (string, error) {
	dir, base := filepath.Split(path)
	for range 100 {
		name := fmt.Sprintf("%s.%s.%016x.%s", dir, base, rand.Uint64(), suffix)
		if _, err := os.Lstat(name); err == nil {
			continue
		}
		if err := use(name); !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
	return "", fmt.Errorf("no free temporary name beside %s", path)
}

// syncFolder makes new names durable. Not every system can sync a folder; where it
// cannot, the files are whole all the same.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
