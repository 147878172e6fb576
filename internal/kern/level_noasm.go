//go:build !amd64 || noasm

package kern

// cpuLevel is LevelGeneric: there is no assembly for this processor.
func cpuLevel() Level { return LevelGeneric }
