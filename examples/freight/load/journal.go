// Package load behaves like the users of the freight app: shippers post loads and accept
// bids, drivers bid and send positions, and some watch the map. It keeps a journal of
// what it was told, and finds out at the end whether all of that is so: wrong answers,
// users who were signed out, jobs that were lost or done twice, positions that are
// wrong. It knows the app by its pages alone.
package load

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxSamples bounds what is told in words.
const maxSamples = 20

// A Journal is what the users were told. It is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	phase   string
	order   []string // phases as they began
	took    map[string]*hdrhistogram.Histogram
	status  map[string]map[string]int64 // by phase and outcome
	logouts int64
	wrong   int64
	samples []string

	loads  map[string]posted // by id
	bids   map[string]bid    // by event
	booked map[string]deal   // by load
	fixes  map[string]fix    // the last of each plate
	fixed  int64             // how many positions were accepted
	seen   int64             // how many arrived at watchers
}

type posted struct{ shipper, from, to, cargo string }

type bid struct {
	shipper string // who is to be told
	at      time.Time
}

type deal struct {
	driver string
	at     time.Time
}

// A fix is a position as the app's API has it.
type fix struct {
	Plate string  `json:"plate"`
	Lat   float64 `json:"lat"`
	Lon   float64 `json:"lon"`
	At    int64   `json:"at"`
}

// NewJournal returns an empty one, in phase "before".
func NewJournal() *Journal {
	j := &Journal{took: map[string]*hdrhistogram.Histogram{}, status: map[string]map[string]int64{},
		loads: map[string]posted{}, bids: map[string]bid{}, booked: map[string]deal{}, fixes: map[string]fix{}}
	j.Phase("before")
	return j
}

// Phase begins another part of the run, whose times are told by themselves.
func (j *Journal) Phase(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.phase = name
	if j.took[name] == nil {
		j.took[name] = hdrhistogram.New(1, time.Minute.Microseconds(), 3)
		j.status[name] = map[string]int64{}
		j.order = append(j.order, name)
	}
}

// answered notes a request.
func (j *Journal) answered(outcome string, d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.took[j.phase].RecordValue(min(max(d.Microseconds(), 1), time.Minute.Microseconds())) // within its bounds
	j.status[j.phase][outcome]++
}

// Wrong notes an answer that is not so.
func (j *Journal) Wrong(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wrong++
	j.sample(fmt.Sprintf(format, args...))
}

// sample keeps some of what is wrong, in words. mu is held.
func (j *Journal) sample(text string) {
	if len(j.samples) < maxSamples {
		j.samples = append(j.samples, fmt.Sprintf("%s %s: %s", time.Now().Format("15:04:05.000"), j.phase, text))
	}
}

func (j *Journal) loggedOut(who string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.logouts++
	j.sample(who + " was signed out")
}

// enter runs f with the journal to itself.
func (j *Journal) enter(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
}

// mine returns the loads of a shipper that were posted and not booked, as far as is
// known.
func (j *Journal) mine(shipper string) (ids []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(j.loads)) {
		if _, gone := j.booked[id]; j.loads[id].shipper == shipper && !gone {
			ids = append(ids, id)
		}
	}
	return ids
}

// Requests is how many were answered so far.
func (j *Journal) Requests() (n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range j.took {
		n += h.TotalCount()
	}
	return n
}
