package cache

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed claim.lua
	claimText string
	//go:embed fill.lua
	fillText string
	//go:embed release.lua
	releaseText string
	//go:embed invalidate.lua
	invalidateText string
	//go:embed restore.lua
	restoreText string
	//go:embed stand.lua
	standText string
	//go:embed bump.lua
	bumpText string
	//go:embed enter.lua
	enterText string

	claimScript      = redis.NewScript(claimText)
	fillScript       = redis.NewScript(fillText)
	releaseScript    = redis.NewScript(releaseText)
	invalidateScript = redis.NewScript(invalidateText)
	restoreScript    = redis.NewScript(restoreText)
	standScript      = redis.NewScript(standText)
	bumpScript       = redis.NewScript(bumpText)
	enterScript      = redis.NewScript(enterText)
)
