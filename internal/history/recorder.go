package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// An entry is one line of a record: a call, or the return of the call with the
// same number.
type entry struct {
	ID     int64    `json:"id"`
	At     int64    `json:"at"`
	Kind   Kind     `json:"kind,omitempty"` // of calls alone
	Client int      `json:"client,omitempty"`
	Key    string   `json:"key,omitempty"`
	Value  string   `json:"value,omitempty"`
	End    End      `json:"end,omitempty"` // of returns alone
	Reply  string   `json:"reply,omitempty"`
	List   []string `json:"list,omitempty"`
}

// A Recorder writes what the clients of one process do, and are told, to a file.
// Nothing is buffered. It is safe for concurrent use.
type Recorder struct {
	process string

	mu   sync.Mutex
	file *os.File
	last int64 // number of the latest call
	err  error // of the first write that failed
}

// NewRecorder makes the record of a process in a new file. The process's name
// must be its own among all that write to the same keys: values are made of it.
func NewRecorder(process, path string) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("history: make a record: %w", err)
	}
	return &Recorder{process: process, file: f}, nil
}

// do records one operation. What cannot be recorded is not done.
func (r *Recorder) do(client int, kind Kind, key string, run func(value string) (reply string, list []string, err error)) {
	id, value, ok := r.call(client, kind, key)
	if !ok {
		return
	}
	reply, list, err := run(value)
	e := entry{ID: id, At: Now(), End: endOf(err)}
	if e.End == Returned {
		e.Reply, e.List = reply, list
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(e)
}

func (r *Recorder) call(client int, kind Kind, key string) (id int64, value string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	if kind != Incr && !kind.reads() {
		value = fmt.Sprintf("%s-%d", r.process, r.last)
	}
	ok = r.write(entry{ID: r.last, At: Now(), Kind: kind, Client: client, Key: key, Value: value})
	return r.last, value, ok
}

// write adds one line, in one call: what is killed leaves whole lines. mu is held.
func (r *Recorder) write(e entry) bool {
	if r.err != nil {
		return false
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	r.err = err
	return err == nil
}

// Close ends the record. Its error means that the record lacks something.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(r.err, r.file.Close()); err != nil {
		return fmt.Errorf("history: record: %w", err)
	}
	return nil
}

// Read returns what a process did, from its record. A call without a return is
// open.
func Read(process, path string) ([]Op, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("history: read a record: %w", err)
	}
	defer f.Close()
	var ops []Op
	at := map[int64]int{} // number of a call → its place in ops
	d := json.NewDecoder(bufio.NewReader(f))
	for d.More() {
		var e entry
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("history: read a record: %s: %w", path, err)
		}
		if e.Kind != "" {
			at[e.ID] = len(ops)
			ops = append(ops, Op{Process: process, Client: e.Client, Kind: e.Kind, Key: e.Key, Value: e.Value, Call: e.At, Return: never, End: Open})
			continue
		}
		i, ok := at[e.ID]
		if !ok {
			return nil, fmt.Errorf("history: read a record: %s: return %d has no call", path, e.ID)
		}
		if o := &ops[i]; e.End != Open {
			o.Return, o.End, o.Reply, o.List = e.At, e.End, e.Reply, e.List
		}
	}
	return ops, nil
}
