// Package weights reads pretrained float weights from safetensors files, by name, into
// any Gorgonia graph or any network that reads and writes itself, such as models.Net,
// and writes them.
//
//	nodes := weights.Leaves(g, x, labels)            // every named leaf but these
//	report, err := weights.ReadFile("resnet.safetensors", nodes, weights.Options{
//		Prefixes:  map[string]string{"model.": ""},   // model.conv1.weight is conv1.weight here
//		Names:     map[string]string{"head.weight": "fc.w"},
//		Transpose: []string{"fc.w"},                  // PyTorch has [out, in]
//	})
//
// # What fits
//
// Files hold F32, F16, BF16 or F64; graphs float32 or float64. Everything is exact but
// what has to be narrowed from F64 to float32, which is rounded; a number that float32
// cannot hold is an error, and so are NaN and infinities.
//
// By default nothing may be missing or left over and shapes must be equal; [Options]
// loosens each of these by itself. What is wrong is listed all at once, in the error
// and in the [Report].
//
// On an error nothing has changed: all is read and checked before the first number is
// written. Values are written into the memory that a node has, so that all graphs on
// that memory see them; a node without a value gets one.
//
// # What is no node
//
// Running statistics of a batch normalisation are not nodes of a graph. [ReadNet] also
// loads those of a models.Net; for a graph of your own, leave them out with
// Options.Skip and set them with the operation's SetStats.
//
// PyTorch's counters "….num_batches_tracked" are always left alone. A network that qat
// has frozen is another kind of file: package frozen loads it.
package weights
