package coordinator

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// A BackupReport tells where the data of the source were saved.
type BackupReport struct {
	Saves []Save `json:"saves"` // one for each master, sorted by address
}

// A Save is one master's file. It is on that master's host: whoever wants to keep
// it copies it away before the next save replaces it.
type Save struct {
	Addr string    `json:"addr"`
	Path string    `json:"path,omitempty"` // empty if the server would not tell
	Note string    `json:"note,omitempty"`
	At   time.Time `json:"at"`    // when the save ended, by the server's clock
	Age  float64   `json:"age_s"` // at the time of the report
	Took float64   `json:"took_s"`
	Keys int64     `json:"keys"` // when it was asked for
}

// ErrBackup means that a server began to save its data, and could not.
var ErrBackup = errors.New("coordinator: the save failed")

// Backup has every master of the source save its data, waits until each has,
// and tells where the files lie. Where a server does not allow it, the refusal
// names the service's own way. A save that was under way is waited out first:
// what it holds is older than the request.
func (c *Coordinator) Backup(ctx context.Context) (BackupReport, error) {
	var r BackupReport
	var mu sync.Mutex
	err := c.sides[protocol.Source].client.EachMaster(ctx, func(ctx context.Context, addr string, node *redis.Client) error {
		s, err := c.save(ctx, addr, node)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		r.Saves = append(r.Saves, s)
		return nil
	})
	slices.SortFunc(r.Saves, func(a, b Save) int { return strings.Compare(a.Addr, b.Addr) })
	return r, err
}

// saveEvery is how often a save that runs is looked at.
const saveEvery = 100 * time.Millisecond

// A saving is what INFO tells of saves.
type saving struct {
	running, rewriting bool
	last               int64 // when the last good one ended, in seconds
	done, total        int64 // keys of the one that runs
}

func savingOf(ctx context.Context, node *redis.Client) (saving, error) {
	text, err := node.Info(ctx, "persistence").Result()
	if err != nil {
		return saving{}, err
	}
	m := infoMap(text)
	return saving{
		running: m["rdb_bgsave_in_progress"] == "1", rewriting: m["aof_rewrite_in_progress"] == "1",
		last: number(m["rdb_last_save_time"]),
		done: number(m["current_save_keys_processed"]), total: number(m["current_save_keys_total"]),
	}, nil
}

func (c *Coordinator) save(ctx context.Context, addr string, node *redis.Client) (Save, error) {
	s := Save{Addr: addr}
	was, err := c.waitSaved(ctx, addr, node, func(now saving) bool { return !now.running })
	if err != nil {
		return s, refuseBackup(addr, err)
	}
	// The time of a save is told in seconds: one that ends in the second of the last
	// could not be told from it.
	for {
		now, err := node.Time(ctx).Result()
		if err != nil {
			return s, refuseBackup(addr, err)
		}
		if now.Unix() > was.last {
			break
		}
		if !pause(ctx, saveEvery) {
			return s, fmt.Errorf("coordinator: backup: %w", context.Cause(ctx))
		}
	}
	s.Keys, _ = node.DBSize(ctx).Result() // to be told, no more
	began := time.Now()
	reply, err := node.Do(ctx, "bgsave", "schedule").Text()
	if err != nil {
		return s, refuseBackup(addr, err)
	}
	started := reply == "Background saving started" // else it waits until the append-only file has been rewritten
	now, err := c.waitSaved(ctx, addr, node, func(now saving) bool {
		started = started || now.running
		ended := !now.running && !now.rewriting && (started || time.Since(began) > scheduledFor)
		return now.last > was.last || ended
	})
	if err != nil {
		return s, fmt.Errorf("coordinator: backup of %s: %w", addr, err)
	}
	if now.last <= was.last {
		return s, fmt.Errorf("%w: %s: see its log (disk full, rights, or too little memory to fork)", ErrBackup, addr)
	}
	s.At, s.Took = time.Unix(now.last, 0).UTC(), time.Since(began).Seconds()
	if at, err := node.Time(ctx).Result(); err == nil {
		s.Age = max(0, at.Sub(s.At).Seconds())
	}
	s.Path, s.Note = whereSaved(ctx, node)
	return s, nil
}

// scheduledFor is how long a save may take to begin while nothing is in its way.
const scheduledFor = 10 * time.Second

// waitSaved waits for a state of a server's saves, and tells how they go.
func (c *Coordinator) waitSaved(ctx context.Context, addr string, node *redis.Client, until func(saving) bool) (saving, error) {
	for said := time.Now(); ; {
		now, err := savingOf(ctx, node)
		if err != nil || until(now) {
			return now, err
		}
		if time.Since(said) > time.Second {
			said = time.Now()
			c.tell(Progress{Stage: "backup", Text: addr + " is saving", Keys: now.done, Total: now.total})
		}
		if !pause(ctx, saveEvery) {
			return now, context.Cause(ctx)
		}
	}
}

// whereSaved asks for the path of the file.
func whereSaved(ctx context.Context, node *redis.Client) (file, note string) {
	var parts []string
	for _, name := range []string{"dir", "dbfilename"} {
		got, err := node.ConfigGet(ctx, name).Result()
		if err != nil || got[name] == "" {
			return "", "the server does not tell where: see its settings dir and dbfilename, or the service's list of snapshots"
		}
		parts = append(parts, got[name])
	}
	return path.Join(parts...), ""
}

// refuseBackup turns what a server does not allow into a refusal.
func refuseBackup(addr string, err error) error {
	if denied(err) || isReply(err) && strings.Contains(err.Error(), "not supported") { // miniredis, of a section of INFO
		return refuse("backup", "make a snapshot by the service's own means, or let this user run BGSAVE, INFO and TIME; check that it can be restored",
			"%s does not let us save: %v", addr, err)
	}
	return fmt.Errorf("coordinator: backup of %s: %w", addr, err)
}
