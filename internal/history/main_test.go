package history

import (
	"os"
	"testing"

	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
