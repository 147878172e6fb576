//go:build !race

package frozen

const raceDetector = false
