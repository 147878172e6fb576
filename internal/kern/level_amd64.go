//go:build amd64 && !noasm

package kern

// Which instructions does this processor have?

import "golang.org/x/sys/cpu"

// cpuLevel is the highest level that the processor and the system offer.
func cpuLevel() Level {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA {
		return LevelGeneric
	}
	if !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL {
		return LevelAVX2
	}
	if !x.HasAVX512VNNI {
		return LevelAVX512
	}
	return LevelVNNI
}
