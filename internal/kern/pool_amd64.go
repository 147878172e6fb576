//go:build amd64 && !noasm

package kern

func (a *maxArgs) run()      { poolMaxAVX2(args(a)) }
func (a *maxArgs) runBytes() { poolMaxBytes(args(a)) }

// first fills which and d and sets nan.
func (a *tapArgs) first() { poolFirstAVX2(args(a)) }

// mean writes out.
func (a *tapArgs) mean() { poolMeanAVX2(args(a)) }

// share fills d.
func (a *tapArgs) share() { poolShareAVX2(args(a)) }

func (a *spreadArgs) run(pick bool) {
	if pick {
		poolSpreadAVX2(args(a))
	} else {
		poolSpreadAllAVX2(args(a))
	}
}
