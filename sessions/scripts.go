package sessions

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed create.lua
	createText string
	//go:embed touch.lua
	touchText string
	//go:embed save.lua
	saveText string
	//go:embed retire.lua
	retireText string
	//go:embed revoke.lua
	revokeText string
	//go:embed enlist.lua
	enlistText string
	//go:embed roster.lua
	rosterText string
	//go:embed scs_get.lua
	scsGetText string
	//go:embed scs_bury.lua
	scsBuryText string

	createScript  = redis.NewScript(createText)
	touchScript   = redis.NewScript(touchText)
	saveScript    = redis.NewScript(saveText)
	retireScript  = redis.NewScript(retireText)
	revokeScript  = redis.NewScript(revokeText)
	enlistScript  = redis.NewScript(enlistText)
	rosterScript  = redis.NewScript(rosterText)
	scsGetScript  = redis.NewScript(scsGetText)
	scsBuryScript = redis.NewScript(scsBuryText)
)
