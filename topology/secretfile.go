package topology

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecretFile is far above any password or URL: a larger file is the wrong one.
const maxSecretFile = 64 << 10

// readSecret returns what a file holds, less one line end. Errors hold neither
// the path nor the content.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", reason(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("names no regular file") // a pipe could block for ever
	}
	f, err := os.Open(path)
	if err != nil {
		return "", reason(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", reason(err)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case s == "":
		return "", errors.New("names an empty file")
	case len(b) > maxSecretFile:
		return "", fmt.Errorf("names a file of more than %d KiB", maxSecretFile>>10)
	}
	return s, nil
}
