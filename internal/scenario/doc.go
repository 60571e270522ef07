// Package scenario holds no code but tests: the failures that the plan describes,
// brought about on real servers under an app's load, and each held to what the
// plan says of it. A primary dies, a replica dies, each sentinel dies in turn, and
// the network cuts the primary off from everybody but some of its clients.
package scenario
