package topology

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// A standing is what a server says of its place in a stream of writes.
type standing struct {
	run     string // of the process
	master  bool
	stream  string        // the replication id
	offset  int64         // of what it has carried out
	syncing bool          // it is being filled anew, and its data are neither old nor new
	lost    time.Duration // since when its primary is away; negative if it is not, or nothing is known
}

// askStanding asks a server where it stands, by two INFO in one round trip: one
// that asks for two sections is unknown before Redis 7.
func askStanding(ctx context.Context, rdb *redis.Client) (standing, error) {
	pipe := rdb.Pipeline()
	server, replication := pipe.Info(ctx, "server"), pipe.Info(ctx, "replication")
	if _, err := pipe.Exec(ctx); err != nil {
		if redis.IsPermissionError(err) {
			return standing{}, fmt.Errorf("%w: reads from replicas need the right to INFO (ACL SETUSER … +info)", err)
		}
		return standing{}, err
	}
	return parseStanding(pairs(server.Val(), "\n", ":"), pairs(replication.Val(), "\n", ":"))
}

func parseStanding(server, f map[string]string) (standing, error) {
	st := standing{run: server["run_id"], stream: f["master_replid"], lost: -1}
	field := ""
	switch f["role"] {
	case "master":
		st.master, field = true, "master_repl_offset"
	case "slave":
		field = "slave_repl_offset"
		st.syncing = f["master_sync_in_progress"] == "1"
		if s, err := strconv.Atoi(f["master_link_down_since_seconds"]); err == nil && s >= 0 && f["master_link_status"] == "down" {
			st.lost = time.Duration(s) * time.Second
		}
	default:
		return st, fmt.Errorf("its INFO tells no role: reads from replicas are not possible with this service")
	}
	var err error
	if st.offset, err = strconv.ParseInt(f[field], 10, 64); err != nil || st.stream == "" {
		return st, fmt.Errorf("its INFO tells no %s or no master_replid: reads from replicas are not possible with this service", field)
	}
	return st, nil
}
