//go:build !amd64 || noasm

package kern

// Without assembly no peak is known.

func peakFMA512(int)   {}
func peakFMA256(int)   {}
func peakInt8VNNI(int) {}
