package kern

import "testing"

func TestStartLevel(t *testing.T) {
	best := cpuLevel()
	for name, want := range map[string]Level{
		"": best, "nonsense": best, "generic": LevelGeneric,
		"avx2": min(LevelAVX2, best), "avx512": min(LevelAVX512, best), "vnni": min(LevelVNNI, best),
	} {
		if got := startLevel(name); got != want {
			t.Errorf("GOQAT_SIMD=%s gives %v, want %v", name, got, want)
		}
	}
}

func TestSetLevel(t *testing.T) {
	start := CurrentLevel()
	defer SetLevel(start)
	if old := SetLevel(-1); old != start || CurrentLevel() != LevelGeneric {
		t.Errorf("SetLevel(-1) returned %v and set %v", old, CurrentLevel())
	}
	if SetLevel(100); CurrentLevel() != cpuLevel() {
		t.Errorf("the highest level is %v, want the processor's, %v", CurrentLevel(), cpuLevel())
	}
}
