package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// askSide bounds what is asked of one side before anything is known of it.
const askSide = 10 * time.Second

// sideFacts are what one side tells.
type sideFacts struct {
	protocol.Side
	client  *topology.Client
	err     error // it does not answer, or not as it must
	modeErr error // it does not tell what it is
	caps    Capabilities
	nodes   []*nodeFacts

	record    protocol.Record
	recordErr error
	holder    string // of the coordinator's lock
	roll      []protocol.Entry
	rollErr   error
	census    map[string]string

	rights    rights
	sample    *keySample
	quorum    []topology.Quorum
	libraries []string // of functions
	libsErr   error
	users     []string
	usersErr  error
}

// nodeFacts are what one node tells of itself. Of what it would not answer, the
// error is kept.
type nodeFacts struct {
	topology.Node
	err        error // it does not answer at all
	info       map[string]string
	infoErr    error
	modules    []string
	config     map[string]string
	configErr  error
	clients    []map[string]string
	clientsErr error
	cluster    map[string]string // CLUSTER INFO
	moving     int               // slots that it moves to or from another node
	trip       time.Duration     // the median round trip
	skew       time.Duration     // how far its clock is ahead of ours
	skewErr    error
}

// met reports whether the side answered.
func (f *sideFacts) met() bool { return f.err == nil }

// mute reports whether its servers tell nothing of themselves, as embedded ones.
func (f *sideFacts) mute() bool {
	for _, n := range f.nodes {
		if n.info["redis_version"] != "" {
			return false
		}
	}
	return true
}

// masters returns the masters that answered.
func (f *sideFacts) masters() (out []*nodeFacts) {
	for _, n := range f.nodes {
		if n.Role == topology.Master && n.err == nil {
			out = append(out, n)
		}
	}
	return out
}

// meet asks both sides whether they are there and what they are told to be, and
// reads what the migration keeps there.
func (k *checker) meet(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range protocol.Sides {
		f := &sideFacts{Side: s, client: k.c.sides[s].client}
		k.sides[s] = f
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askSide)
			defer cancel()
			if f.err = k.meetSide(ctx, f); f.err != nil {
				return
			}
			k.readKept(ctx, f)
		})
	}
	wg.Wait()
	all := slices.Concat(k.sides[protocol.Source].roll, k.sides[protocol.Target].roll)
	if k.plan, k.noPlan = k.c.planOf(all); k.plan == nil {
		k.plan = newPlan(k.c.opts.Workloads)
	}
}

func (k *checker) meetSide(ctx context.Context, f *sideFacts) error {
	if err := f.client.CheckMode(ctx); denied(err) {
		f.modeErr = err // it answers, but does not tell
	} else if err != nil {
		return err
	}
	nodes, err := f.client.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		f.nodes = append(f.nodes, &nodeFacts{Node: n})
	}
	f.caps, err = probe(ctx, f.client)
	return err
}

// readKept reads record, lock, roll and census by plain commands: a store would
// write an identity where a server has no run id.
func (k *checker) readKept(ctx context.Context, f *sideFacts) {
	store := k.c.sides[f.Side].store
	keys := store.Keys()
	text, err := f.client.Get(ctx, keys.Control).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		f.recordErr = err
	} else {
		f.record, f.recordErr = protocol.DecodeOf(f.Side, text)
	}
	if h, err := f.client.HGetAll(ctx, keys.Lock).Result(); err == nil && h["id"] != "" {
		f.holder = fmt.Sprintf("%s (%s)", h["id"], h["about"])
	}
	f.roll, f.rollErr = store.Roll(ctx)
	f.census, _ = store.Census(ctx) // no census is told of as such
}

// learn asks every node of the sides that answered, and looks at keys.
func (k *checker) learn(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range protocol.Sides {
		f := k.sides[s]
		if !f.met() {
			continue
		}
		for _, n := range f.nodes {
			wg.Go(func() { k.learnNode(ctx, f.client, n) })
		}
		wg.Go(func() {
			f.rights = k.tryCommands(ctx, f)
			f.libraries, f.libsErr = libraries(ctx, f.client)
			f.users, f.usersErr = f.client.Do(ctx, "acl", "users").StringSlice()
			f.quorum = f.client.Quorum(ctx)
		})
		wg.Go(func() { f.sample = k.takeSample(ctx, f) })
	}
	wg.Wait()
	if k.both() && k.sides[protocol.Source].mute() && k.sides[protocol.Target].mute() {
		k.twice = sameCounter(ctx, k.sides[protocol.Source].client, k.sides[protocol.Target].client)
	}
}

func libraries(ctx context.Context, client *topology.Client) (names []string, err error) {
	node, err := client.MasterFor(ctx, control.Reserved)
	if err != nil {
		return nil, err
	}
	libs, err := node.FunctionList(ctx, redis.FunctionListQuery{}).Result()
	for _, l := range libs {
		names = append(names, l.Name)
	}
	return names, err
}

// wantedConfig is what is asked of CONFIG GET.
var wantedConfig = []string{"save", "maxclients", "min-replicas-to-write"}

func (k *checker) learnNode(ctx context.Context, client *topology.Client, n *nodeFacts) {
	ctx, cancel := context.WithTimeout(ctx, askSide)
	defer cancel()
	node, err := client.Node(n.Addr, topology.WithName(k.checkName()))
	if n.err = err; err != nil {
		return
	}
	defer node.Close()
	conn := node.Conn()
	defer conn.Close()
	if n.err = conn.Ping(ctx).Err(); n.err != nil {
		return
	}
	n.time(ctx, conn)
	text, err := conn.Info(ctx).Result()
	n.info, n.infoErr, n.modules = infoMap(text), err, modulesOf(text)
	n.config = map[string]string{}
	for _, name := range wantedConfig {
		got, err := conn.ConfigGet(ctx, name).Result()
		if err != nil {
			n.configErr = err
			break
		}
		n.config[name] = got[name]
	}
	text, n.clientsErr = conn.Do(ctx, "client", "list").Text()
	for line := range strings.Lines(text) {
		n.clients = append(n.clients, control.ClientFields(line))
	}
	if client.Mode() == topology.Cluster {
		text, _ = conn.ClusterInfo(ctx).Result()
		n.cluster = infoMap(text)
		text, _ = conn.ClusterNodes(ctx).Result()
		n.moving = strings.Count(text, "->-") + strings.Count(text, "-<-")
	}
}

// modulesOf reads the modules that INFO lists, one a line.
func modulesOf(info string) (names []string) {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "module:"); ok {
			names = append(names, commaMap(v)["name"])
		}
	}
	return names
}

// clockLooks is how often a node is asked for its time.
const clockLooks = 15

// time measures the round trip, and the clock at the quickest of them.
func (n *nodeFacts) time(ctx context.Context, conn *redis.Conn) {
	var trips []time.Duration
	best := time.Hour
	for range clockLooks {
		began := time.Now()
		at, err := conn.Time(ctx).Result()
		trip := time.Since(began)
		if err != nil {
			n.skewErr = err
			if !isReply(err) {
				return
			}
		} else if trip < best {
			best, n.skew = trip, at.Sub(began.Add(trip/2))
		}
		trips = append(trips, trip)
	}
	slices.Sort(trips)
	n.trip = trips[len(trips)/2]
}
