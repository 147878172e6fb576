package kern

// Which vector instructions may be used?

import "os"

// Level is a set of vector instructions that the kernels may use. Higher
// levels include the lower ones. Results are the same on every level, bit for bit.
type Level int8

const (
	LevelGeneric Level = iota // portable Go
	LevelAVX2                 // AVX2 and FMA
	LevelAVX512               // AVX-512 F, BW, DQ, VL
	LevelVNNI                 // AVX-512 VNNI: sums of products of bytes
)

// levelNames are the names of the levels in order.
var levelNames = [...]string{"generic", "avx2", "avx512", "vnni"}

// String returns the name that the environment variable GOQAT_SIMD knows.
func (l Level) String() string { return levelNames[l] }

// level is the level in use. It is chosen when the program starts: the highest
// that the processor has, or the lower one that GOQAT_SIMD names.
var level = startLevel(os.Getenv("GOQAT_SIMD"))

func startLevel(name string) Level {
	best := cpuLevel()
	for l, n := range levelNames {
		if n == name {
			return min(Level(l), best)
		}
	}
	return best
}

// CurrentLevel returns the level that the kernels use.
func CurrentLevel() Level { return level }

// SetLevel makes the kernels use l, or the highest level of the processor when
// that is lower, and returns the level that was in use. It is for tests: no kernel
// may run at the same time.
func SetLevel(l Level) (old Level) {
	old, level = level, max(LevelGeneric, min(l, cpuLevel()))
	return old
}
