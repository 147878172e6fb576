//go:build !amd64 || noasm

package kern

// What do convolutions do without assembly?

import "unsafe"

func (r *rowArgs) copyRows(cols int)  { r.goCopy(cols) }
func (r *rowArgs) splitRows(cols int) { r.goSplit(cols) }
func (r *rowArgs) mergeRows(cols int) { r.goMerge(cols) }
func (s *stripArgs) run(rows int)     { s.goStrip(rows) }
func addAllLanes(dst, src []float32)  { goAddLanes(dst, src) }
func (s *sweepArgs) sweep()           { s.goSweep() }
func (s *nineArgs) lanes()            { s.byThree() }
func (s *laneArgs) lanes(rows int)    { s.goLanes(rows) }
func (a *planeArgs) run()             { a.goPlane() }
func (s *planeLaneArgs) run(rows int) { s.goLanes(rows) }
func (p *panelArgs) pack()            { p.goPanel(panelLanes()) }

func fetchRows(p unsafe.Pointer, rows, stride, lines int) {}

// These are never called: no level has vectors.

func (a *depthArgs) run(*depthPass)     {}
func (a *depthArgs) weights(*depthPass) {}
