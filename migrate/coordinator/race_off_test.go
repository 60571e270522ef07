//go:build !race

package coordinator

const raceOn = false
