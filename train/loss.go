package train

import (
	"fmt"

	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// CrossEntropy adds the mean softmax cross entropy of logits [batch, classes] to
// their graph. labels is a new node [batch] of dtype Int, to be Let before a run;
// loss is a scalar.
func CrossEntropy(logits *gorgonia.Node) (loss, labels *gorgonia.Node, err error) {
	if logits == nil || logits.Shape().Dims() != 2 {
		return nil, nil, fmt.Errorf("train: cross entropy: %w: logits must be a node of shape [batch, classes]", ErrConfig)
	}
	labels = gorgonia.NewVector(logits.Graph(), tensor.Int, gorgonia.WithShape(logits.Shape()[0]),
		gorgonia.WithName(fmt.Sprintf("labels of %d", logits.ID())))
	if loss, err = ops.CrossEntropy(logits, labels); err != nil {
		return nil, nil, fmt.Errorf("train: %w", err)
	}
	return loss, labels, nil
}

// Gradients adds the gradients of loss to its graph, as gorgonia.Grad; a panic of
// Gorgonia's becomes an error.
func Gradients(loss *gorgonia.Node, params gorgonia.Nodes) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("train: gradients: %v", r)
		}
	}()
	if _, err = gorgonia.Grad(loss, params...); err != nil {
		return fmt.Errorf("train: gradients: %w", err)
	}
	return nil
}
