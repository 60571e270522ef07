// Package migrate is the migrating client: a redis.UniversalClient that moves
// an app from one Redis to another, and back, under the hand of the operator's
// migrate command. The app opens one client a process with Open and uses it as
// it would any other.
package migrate
