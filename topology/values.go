package topology

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Faults of values; none holds the value.
var (
	errNumber   = errors.New("is not a whole number")
	errNegative = errors.New("must not be negative")
	errPositive = errors.New("is not a whole number above 0")
	errDuration = errors.New("is not a duration above 0 with its unit, as in 500ms or 5s")
	errBool     = errors.New("is neither true nor false")
)

// parseNumber takes digits alone, up to what any setting can mean.
func parseNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if _, bad := strconv.Atoi(strings.TrimPrefix(s, "-")); bad == nil && s[0] == '-' {
		return 0, errNegative
	}
	if err != nil {
		return 0, errNumber
	}
	return int(n), nil
}

func parsePositive(s string) (int, error) {
	n, err := parseNumber(s)
	if err != nil || n == 0 {
		return 0, errPositive
	}
	return n, nil
}

// parseRetries turns 0, which people write for none, into Config's -1.
func parseRetries(s string) (int, error) {
	if s == "-1" {
		return -1, nil
	}
	n, err := parseNumber(s)
	if n == 0 && err == nil {
		n = -1
	}
	return n, err
}

// parseDuration wants a unit: a bare number means milliseconds to ioredis and
// seconds to go-redis.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errDuration
	}
	return d, nil
}

// parseWindow takes a duration, or 0, which people write for none and which is
// Config's -1.
func parseWindow(s string) (time.Duration, error) {
	if s == "0" || s == "0s" {
		return -1, nil
	}
	return parseDuration(s)
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errBool
}
