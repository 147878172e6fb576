//go:build !amd64 || noasm

package kern

// Which level is there without assembly?

// cpuLevel is LevelGeneric: there is no assembly for this processor.
func cpuLevel() Level { return LevelGeneric }
