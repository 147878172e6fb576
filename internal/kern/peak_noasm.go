//go:build !amd64 || noasm

package kern

func peakFMA512(int)   {}
func peakFMA256(int)   {}
func peakInt8VNNI(int) {}
