//go:build !amd64 || noasm

package kern

// Without assembly the portable loops do everything.

func compareFast[F Float](_ Relation, _, _, _ []F) int         { return 0 }
func compareOneFast[F Float](_ Relation, _, _ []F, _ F) int    { return 0 }
func selectFast[F Float](_, _, _ []F, _ int, _ []F, _ int) int { return 0 }
func rowExtremeFast[F Float](_, _ []F, _ int, _ bool) bool     { return false }
func rowFindFast[F Float](_ []F, _ F) int                      { return 0 }
func giveOnceFast[F Float](_, _, _, _ []F) int                 { return 0 }
