// Package mutants breaks the program on purpose, one rule at a time, and sees that
// a test notices. It holds tests alone.
//
// A mutant is a file in testdata: what it breaks, which test must die of it, and a
// few edits, each an old text and a new one.
//
//	title: 2. a name leaves the dirty set after its compare
//	dies: internal/protocol TestSimulation -seeds 1000 -failures 1
//	why: a change that comes between the read and the removal is told of by nobody
//	old: internal/protocol/sim_proof_test.go
//		c.dirty[k] = false
//		var got [3]value
//	new:
//		var got [3]value
//
// The lines of a text are indented by a tab, which is not part of them. From these
// the edited copy of a file is made when the test runs, and the package is built
// with `go test -overlay`: the program has no switch that could be left on, and
// because an old text must be found exactly once, a mutant that no longer fits the
// code fails at once and not silently. Copies of whole files would rot.
//
// `dies` names the package, the test and arguments for it. A mutant that does not
// build, or whose test passes, fails. So does a test that fails without a mutant:
// a death would prove nothing then.
//
// A file with the line `in: test` is run by `make test`; all are by `make real`
// (LONG=1). `go test ./internal/mutants -mutant 02` runs those whose file begins so.
// README.md is the table of all; `-update` writes it anew.
package mutants
