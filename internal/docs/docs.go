// Package docs holds no code, only the test that runs what the README and the package
// comments show.
package docs
