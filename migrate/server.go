package migrate

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/topology"
)

// everyMaster are the commands that one master of a cluster cannot answer, or
// carry out, for all. (script|exists is true if every master has it.)
const everyMaster = "dbsize keys flushall flushdb script|load script|flush script|exists function|load function|delete function|flush function|restore"

// wholeServer runs a command that has no key on a client. On a cluster it goes
// to each master where one of them cannot speak for the others.
func wholeServer(ctx context.Context, client *topology.Client, cmd redis.Cmder, k *command.Command) error {
	if client.Mode() != topology.Cluster || !slices.Contains(strings.Fields(everyMaster), k.Name) {
		return client.Process(ctx, cmd)
	}
	parts, err := onEachMaster(ctx, client, cmd)
	if err != nil {
		return err
	}
	cmd.SetErr(nil)
	if !merge(cmd, k, parts) { // the reply is the same everywhere
		return client.Process(ctx, cmd)
	}
	return nil
}

// onEachMaster runs a copy of a command on every master, and returns the replies.
func onEachMaster(ctx context.Context, client *topology.Client, cmd redis.Cmder) ([]*redis.Cmd, error) {
	var mu sync.Mutex
	var parts []*redis.Cmd
	err := client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		part := redis.NewCmd(ctx, cmd.Args()...)
		if err := node.Process(ctx, part); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		parts = append(parts, part)
		return nil
	})
	return parts, err
}

// merge makes one reply of those of all masters: numbers are added, lists
// joined, and truths must hold on each; of texts, which are the same, one is
// taken. It reports false if cmd is of a type that cannot take it.
func merge(cmd redis.Cmder, k *command.Command, parts []*redis.Cmd) bool {
	switch k.Name {
	case "dbsize":
		var sum int64
		for _, part := range parts {
			n, _ := part.Int64()
			sum += n
		}
		return setInt(cmd, sum)
	case "keys":
		var all []string
		for _, part := range parts {
			list, _ := part.StringSlice()
			all = append(all, list...)
		}
		return setStrings(cmd, all)
	case "script|exists":
		return mergeExists(cmd, parts)
	}
	for _, part := range parts {
		text, err := part.Text()
		return err == nil && setText(cmd, text)
	}
	return false
}

func mergeExists(cmd redis.Cmder, parts []*redis.Cmd) bool {
	var every []bool
	for _, part := range parts {
		one, err := part.BoolSlice()
		if err != nil {
			return false
		}
		if every == nil {
			every = one
		}
		for i := range every {
			every[i] = every[i] && i < len(one) && one[i]
		}
	}
	switch cmd := cmd.(type) {
	case *redis.BoolSliceCmd:
		cmd.SetVal(every)
		return true
	case *redis.Cmd:
		list := make([]any, len(every))
		for i, yes := range every {
			list[i] = int64(0)
			if yes {
				list[i] = int64(1)
			}
		}
		cmd.SetVal(list)
		return true
	}
	return false
}

// textOf returns a reply that is a text.
func textOf(cmd redis.Cmder) string {
	switch cmd := cmd.(type) {
	case *redis.StringCmd:
		return cmd.Val()
	case *redis.Cmd:
		s, _ := cmd.Text()
		return s
	}
	return ""
}

func setText(cmd redis.Cmder, text string) bool {
	switch cmd := cmd.(type) {
	case *redis.Cmd:
		cmd.SetVal(text)
	case *redis.StatusCmd:
		cmd.SetVal(text)
	case *redis.StringCmd:
		cmd.SetVal(text)
	default:
		return false
	}
	return true
}

func setStrings(cmd redis.Cmder, list []string) bool {
	switch cmd := cmd.(type) {
	case *redis.StringSliceCmd:
		cmd.SetVal(list)
	case *redis.Cmd:
		all := make([]any, len(list))
		for i, s := range list {
			all[i] = s
		}
		cmd.SetVal(all)
	default:
		return false
	}
	return true
}
