// Package frozenop turns a layer kind of the typed network into the same kind of the
// frozen network: same name, same settings. It stands apart so that no exported function
// of package frozen mentions an internal type.
package frozenop

import (
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/frozen"
)

// Of returns op as the frozen network has it, by way of the settings that stand in its
// files. Errors are those of nn.MarshalOp and frozen.ParseOp.
func Of(op nn.Op) (frozen.Op, error) {
	settings, err := nn.MarshalOp(op)
	if err != nil {
		return nil, err
	}
	return frozen.ParseOp(op.Kind(), settings)
}
