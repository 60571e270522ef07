// Package deploy holds no code but tests: this directory is what starts the servers
// of a set, on Compose, Kubernetes, Railway and ElastiCache, and watches them. The
// tests start the very scripts and settings that are here as processes, and do to
// them what the plan is afraid of. What needs libraries of its own is held by the
// module in check, so that no importer of a workload sees them.
package deploy
