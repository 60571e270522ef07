// Package contract runs the contract of a workload wherever the workload may run:
//
//   - on a standalone server, a Sentinel set and a Cluster, each by go-redis's own
//     client with its defaults. That is the harder client: it tries again by itself,
//     and deadlines do not end its reads. Package topology's is under the next one;
//   - on the migrating client, in every phase of a migration to a Sentinel set.
//     LONG=1 adds one to a Cluster.
//
// A package's suite is one function that takes a client:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
//
//	func TestContract(t *testing.T) { contract.Run(t, suite) }
//
//	func suite(t *testing.T, c redis.UniversalClient) {
//		t.Run("take", func(t *testing.T) { … })
//	}
//
// The suite is called some eight times, several of these at a time, and mostly on
// servers that hold what earlier calls and other tests have left there. So its keys
// must be its own: made of [Name], under a prefix that
// [migrate.DefaultWorkloads] knows. It must not flush, and must not kill a server.
//
// A [Migration] is for the loads, which go on while it is moved.
//
// With go test -short a contract is left out.
package contract
