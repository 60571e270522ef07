package queue_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/transload/transload/queue"
)

// TestPageSnippets sees that each line of Go in docs/queue.md is one that the tests
// below run, in that order.
func TestPageSnippets(t *testing.T) {
	page, err := os.ReadFile("../docs/queue.md")
	must(t, err)
	var run []string
	for _, file := range []string{"example_test.go", "docs_test.go"} {
		source, err := os.ReadFile(file)
		must(t, err)
		for line := range strings.Lines(strings.ReplaceAll(string(source), "queue.SQLite", "queue.Postgres")) { // the page's app has the latter
			run = append(run, code(line))
		}
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Fatalf("got %d blocks of Go; want all of the page's", len(blocks))
	}
	for _, block := range blocks {
		at := 0
		for line := range strings.Lines(block[1]) {
			if code(line) == "" {
				continue
			}
			i := at
			for i < len(run) && run[i] != code(line) {
				i++
			}
			if i == len(run) {
				t.Errorf("no test runs %q, after what stands before it", code(line))
				continue
			}
			at = i + 1
		}
	}
}

// code is a line without its comment.
func code(line string) string {
	line, _, _ = strings.Cut(line, " //")
	return strings.TrimSpace(line)
}

// TestPageCommands sees that each `make` of the page is one that there is, and what it
// runs: it runs for minutes.
func TestPageCommands(t *testing.T) {
	page, err := os.ReadFile("../docs/queue.md")
	must(t, err)
	want := map[string]string{"load W=queue": "-run TestLoad ./queue", "bench": "-bench . -benchmem ./..."}
	named := regexp.MustCompile("`make ([^`]+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) == 0 {
		t.Fatal("the page names no command")
	}
	for _, m := range named {
		cmd := exec.Command("make", append([]string{"-n"}, strings.Fields(m[1])...)...)
		cmd.Dir = ".."
		out, err := cmd.CombinedOutput()
		if err != nil || want[m[1]] == "" || !strings.Contains(string(out), want[m[1]]) {
			t.Errorf("make %s: got %v\n%s; want that it runs %q", m[1], err, out, want[m[1]])
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An sms is the page's provider of SMS.
type sms struct{}

var texts = make(chan SMS, 8)

func (sms) Send(_ context.Context, v SMS) error { texts <- v; return nil }

type Weekly struct{ Of string }

var Report = queue.Define[Weekly]("report.weekly")

// TestPage runs what the page shows.
func TestPage(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(60000)&_txlock=immediate")
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(t.Context(), queue.Schema(queue.SQLite)+`; CREATE TABLE bookings (text TEXT)`)
	must(t, err)
	pageLookAfter(t, client, pageRun(t, client))
	pageLedger(t, db)
	pageOutbox(t, client, db)
}

// pageRun enqueues a job and runs it. It returns its id.
func pageRun(t *testing.T, client redis.UniversalClient) string {
	ctx, stop := context.WithCancel(t.Context())
	var provider sms
	to, text := "+49151", "Your load has arrived"
	c, err := queue.NewClient(client, queue.Options{})
	must(t, err)
	receipt, err := SendSMS.Enqueue(ctx, c, SMS{To: to, Text: text})
	if err != nil || receipt.State != queue.New {
		t.Fatalf("got %+v, %v; want a new job", receipt, err)
	}
	s, err := queue.NewServer(client, queue.Config{Queues: map[string]int{"sms": 3, "email": 1}})
	must(t, err)
	err = SendSMS.Handle(s, func(ctx context.Context, v SMS, m queue.Meta) error { return provider.Send(ctx, v) })
	must(t, err)
	err = Report.Cron(s, "0 6 * * 1-5", Weekly{Of: "carrier 7"})
	must(t, err)
	go func() { <-texts; stop() }()
	err = s.Run(ctx)
	must(t, err)
	return receipt.ID
}

func pageLookAfter(t *testing.T, client redis.UniversalClient, id string) {
	ctx := t.Context()
	c, err := queue.NewClient(client, queue.Options{})
	must(t, err)
	infos, err := c.Queues(ctx)
	if err != nil || len(infos) != 1 || infos[0].Processed != 1 {
		t.Errorf("got %+v, %v; want one job processed", infos, err)
	}
	jobs, err := c.List(ctx, "sms", queue.Archived, 100)
	if err != nil || len(jobs) != 0 {
		t.Errorf("got %+v, %v; want none archived", jobs, err)
	}
	err = c.Pause(ctx, "sms")
	must(t, err)
	must(t, c.Resume(ctx, "sms"))
	err = c.Rerun(ctx, "sms", id)
	if err == nil {
		t.Error("a job that is done and gone was run again")
	}
	err = c.Probe(ctx)
	must(t, err)
}

func pageLedger(t *testing.T, db *sql.DB) {
	ctx := t.Context()
	var provider sms
	v, m := SMS{To: "+49151", Text: "once"}, queue.Meta{IdempotencyKey: "an effect"}
	book := func(ctx context.Context, tx *sql.Tx, v SMS) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO bookings VALUES ($1)`, v.Text)
		return err
	}
	ledger, err := queue.NewSQLLedger(db, queue.SQLite)
	must(t, err)
	for range 2 {
		err = queue.Once(ctx, ledger, m.IdempotencyKey, func(ctx context.Context) error { return provider.Send(ctx, v) })
		must(t, err)
	}
	if n := len(texts); n != 1 {
		t.Errorf("it was sent %d times; want once", n)
	}
	<-texts
	m.IdempotencyKey = "another"
	for range 2 {
		err = ledger.Tx(ctx, m.IdempotencyKey, func(tx *sql.Tx) error { return book(ctx, tx, v) })
		must(t, err)
	}
	var n int
	must(t, db.QueryRowContext(ctx, `SELECT count(*) FROM bookings`).Scan(&n))
	if n != 1 {
		t.Errorf("it was booked %d times; want once", n)
	}
}

func pageOutbox(t *testing.T, client redis.UniversalClient, db *sql.DB) {
	ctx := t.Context()
	logger := slog.New(slog.DiscardHandler)
	to, text := "+49151", "in a transaction"
	outbox, err := queue.NewOutbox(db, queue.SQLite, 100_000, logger)
	must(t, err)
	c, err := queue.NewClient(client, queue.Options{Outbox: outbox})
	must(t, err)
	go outbox.Relay(ctx, c) // as the page has it
	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	_, err = SendSMS.Store(ctx, outbox, tx, SMS{To: to, Text: text})
	must(t, err)
	must(t, tx.Commit())
	pageAside(t, outbox, db)
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		jobs, err := c.List(ctx, "sms", queue.Pending, 10)
		if err == nil && len(jobs) == 1 && strings.Contains(string(jobs[0].Payload), text) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("got %v, %v; want the job that was stored", jobs, err)
		}
	}
}

// pageAside finds what was put aside while the outbox is relayed.
func pageAside(t *testing.T, outbox *queue.Outbox, db *sql.DB) {
	ctx := t.Context()
	_, err := db.ExecContext(ctx, `INSERT INTO transload_queue_outbox (job, payload, nonce, settings) VALUES ('x', '', '', 'damaged')`)
	must(t, err)
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, aside, err := outbox.Size(ctx); err == nil && aside == 1 {
			break
		} else if time.Now().After(until) {
			t.Fatalf("%d are aside, %v; want one", aside, err)
		}
	}
	jobs, err := outbox.Aside(ctx, 100)
	if err != nil || len(jobs) != 1 || jobs[0].Fault == "" {
		t.Fatalf("got %+v, %v; want what is damaged", jobs, err)
	}
	err = outbox.PutBack(ctx, jobs[0].Seq)
	must(t, err)
}
