// Package direction holds no code, only the test that keeps the packages' imports
// pointing one way.
package direction
