// Package terminal knows what a stream can show: whether a person looks at it, how wide it is and whether it has
// colours; and it makes text safe to show there.
package terminal
