//go:build race

package frozen

const raceDetector = true
