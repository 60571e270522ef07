// Package figures holds no code but benchmarks: what a migration costs an app, and
// how fast its parts are beside a bare loop that does the same. Each compares
// within one run, in turns, on real servers; docs/performance.md has the figures.
package figures
