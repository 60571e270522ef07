// Package suite holds the contracts of workloads that package contract runs on every
// kind of client. They know a workload as an app does, by what it exports and by the
// keys that its documentation names.
//
// A workload's tests import it from an external test package:
//
//	func TestContract(t *testing.T) { contract.Run(t, suite.RateLimit) }
package suite
