package topology_test

import (
	"fmt"
	"log"

	"github.com/transload/transload/topology"
)

func Example() {
	getenv := func(name string) string { // os.Getenv
		return map[string]string{
			"REDIS_SENTINELS": "sentinel-1,sentinel-2,[fd00::3]:26380",
			"REDIS_PASSWORD":  "swordfish",
		}[name]
	}
	cfg, err := topology.FromEnv("REDIS", getenv)
	if err != nil {
		log.Fatal(err) // all faults, by name
	}
	client, err := topology.Open(cfg, topology.WithName("freight"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(cfg)

	_, err = topology.FromEnv("REDIS_TARGET", func(name string) string {
		return map[string]string{"REDIS_TARGET_CLUSTER_NODES": "redis-1:6379x", "REDIS_TARGET_DB": "2"}[name]
	})
	fmt.Println(err)
	// Output:
	// sentinel sentinel-1:26379,sentinel-2:26379,[fd00::3]:26380 master=freight-master password=***
	// REDIS_TARGET_CLUSTER_NODES: holds a port that is not a number from 1 to 65535
	// REDIS_TARGET_DB: must be 0: a cluster has no other database
}
