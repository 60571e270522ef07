//go:build !linux

package scenario

import (
	"errors"
	"testing"
)

func byNamespace(*testing.T) (*partition, error) { return nil, errors.ErrUnsupported }
