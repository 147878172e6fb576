//go:build !amd64 || noasm

package kern

// Nothing calls these: there are no levels with vectors.

func (a *maxArgs) run()             {}
func (a *maxArgs) runBytes()        {}
func (a *tapArgs) first()           {}
func (a *tapArgs) mean()            {}
func (a *tapArgs) share()           {}
func (a *spreadArgs) run(pick bool) {}
