package pubsub

import (
	"crypto/sha1" // the name that Redis gives a script, not a secret
	_ "embed"
	"encoding/hex"
)

var (
	//go:embed open.lua
	openText string
	//go:embed publish.lua
	publishText string
	//go:embed load.lua
	loadText string
	//go:embed grow.lua
	growText string
	//go:embed send.lua
	sendText string
	//go:embed whoami.lua
	whoamiText string
	//go:embed confirm.lua
	confirmText string
	//go:embed export.lua
	exportText string
	//go:embed import.lua
	importText string

	publishScript = newScript(publishText)
	loadScript    = newScript(loadText)
	growScript    = newScript(growText)
	sendScript    = newScript(sendText)
	whoamiScript  = newScript(whoamiText)
	confirmScript = newScript(confirmText)
	exportScript  = newScript(exportText)
	importScript  = newScript(importText)
)

// A script is sent by its name, and whole where the server does not know it: after a
// restart, on a promoted replica, on the other side of a migration.
type script struct{ text, sha string }

func newScript(text string) *script {
	text = openText + text
	sum := sha1.Sum([]byte(text))
	return &script{text, hex.EncodeToString(sum[:])}
}
