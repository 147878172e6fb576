//go:build !amd64 || noasm

package kern

// How are tiles computed without assembly?

// runTile computes a tile of rows rows (1 to tileMaxRows) and one or two vectors.
func runTile(kind tileKind, rows, vectors int, t *tileArgs) { tileGo(kind, rows, vectors, t) }
