// Package fences holds no code: its test says what packages may not import.
// Arrows point down only: an app knows migrate, migrate knows topology, and a
// workload knows go-redis and nothing of a migration.
package fences
