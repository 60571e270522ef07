// Package journey holds no code but tests: an app's libraries, unchanged, on the
// migrating client, across a whole migration on real servers. What a library
// makes of a hold, of scripts that touch keys they do not declare, and of keys
// that change sides under it cannot be seen in the parts.
package journey
