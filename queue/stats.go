package queue

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed stats.lua
var statsLua string

var statsScript = redis.NewScript(statsLua)

// weighed is how many jobs of each kind are weighed to tell a queue's memory: enough
// for an order of magnitude.
const weighed = 5

// An Info has the figures of a queue at a moment.
type Info struct {
	Name        string        `json:"name"`
	Pending     int64         `json:"pending"`   // may be run now
	Active      int64         `json:"active"`    // are run
	Scheduled   int64         `json:"scheduled"` // wait for their time
	Retry       int64         `json:"retry"`     // wait for their next attempt
	Archived    int64         `json:"archived"`  // were given up
	Completed   int64         `json:"completed"` // are done, and kept
	Aggregating int64         `json:"aggregating"`
	Paused      bool          `json:"paused"`
	Processed   int64         `json:"processed"` // runs that ended, failures included, ever
	Failed      int64         `json:"failed"`
	Today       int64         `json:"processed_today"`
	FailedToday int64         `json:"failed_today"`
	Latency     time.Duration `json:"latency"` // how long the oldest that may be run has waited
	Memory      int64         `json:"memory"`  // of its jobs, by a sample
}

// Left is how many jobs have yet to be run, or are.
func (q Info) Left() int64 { return q.Pending + q.Active + q.Scheduled + q.Retry + q.Aggregating }

// Queues returns the figures of every queue, by name. It costs two round trips
// whatever the number of queues and jobs.
func (c *Client) Queues(ctx context.Context) ([]Info, error) {
	return queues(ctx, c.redis)
}

func queues(ctx context.Context, c redis.UniversalClient) ([]Info, error) {
	names, err := c.SMembers(ctx, allQueues).Result()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	slices.Sort(names)
	infos := make([]Info, 0, len(names))
	if len(names) == 0 {
		return infos, nil
	}
	first, err := statsOf(ctx, c, names[0]) // so that the server knows the script
	if err != nil {
		return nil, err
	}
	infos = append(infos, first)
	cmds := make([]*redis.Cmd, 0, len(names))
	_, _ = c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, q := range names[1:] {
			cmds = append(cmds, statsScript.EvalSha(ctx, p, statsKeys(q), statsArgs(q)...))
		}
		return nil
	})
	for i, cmd := range cmds {
		info, err := readStats(names[i+1], cmd)
		if err != nil { // another node of a cluster, which does not know the script
			info, err = statsOf(ctx, c, names[i+1])
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func statsOf(ctx context.Context, c redis.Scripter, queue string) (Info, error) {
	return readStats(queue, statsScript.Run(ctx, c, statsKeys(queue), statsArgs(queue)...))
}

func statsKeys(queue string) (keys []string) {
	today := time.Now().UTC().Format(time.DateOnly)
	for _, part := range []string{"pending", "active", "scheduled", "retry", "archived", "completed", "groups", "paused",
		"processed", "failed", "processed:" + today, "failed:" + today} {
		keys = append(keys, queueKey(queue, part))
	}
	return keys
}

func statsArgs(queue string) []any { return []any{taskKey(queue, ""), queueKey(queue, "g:"), weighed} }

func readStats(queue string, cmd *redis.Cmd) (Info, error) {
	n, err := cmd.Int64Slice()
	if err != nil {
		return Info{}, fmt.Errorf("%w: figures of %s: %w", ErrUnavailable, queue, err)
	}
	if len(n) != 14 {
		return Info{}, fmt.Errorf("%w: figures of %s: a reply of another form", ErrUnavailable, queue)
	}
	return Info{Name: queue, Pending: n[0], Active: n[1], Scheduled: n[2], Retry: n[3], Archived: n[4], Completed: n[5],
		Aggregating: n[6], Paused: n[7] > 0, Processed: n[8], Failed: n[9], Today: n[10], FailedToday: n[11],
		Latency: time.Duration(n[12]) * time.Millisecond, Memory: n[13]}, nil
}
