package sessions

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// TestScriptsTwice runs each script again, as a client does whose reply was lost, and
// some of them late.
func TestScriptsTwice(t *testing.T) {
	m, s := mini(t)
	scriptsTwice(t, m, miniClient(t, s))
}

func TestScriptsTwiceOnReal(t *testing.T) {
	c := open(t, redistest.SharedStandalone(t))
	scriptsTwice(t, managerOn(t, c, patient()), c)
}

func scriptsTwice(t *testing.T, m *Manager, c redis.UniversalClient) {
	ctx, user := t.Context(), "twice-"+newNonce()
	_, id := newToken(m.opt.Name)
	_, next := newToken(m.opt.Name)
	twice := func(script *redis.Script, args ...any) any {
		t.Helper()
		first, err := script.Run(ctx, c, []string{id.key()}, args...).Result()
		if err != nil {
			t.Fatal(err)
		}
		again, err := script.Run(ctx, c, []string{id.key()}, args...).Result()
		if err != nil || fmt.Sprint(first) != fmt.Sprint(again) {
			t.Errorf("got %v, then %v, %v; want the same", first, again, err)
		}
		return again
	}
	twice(createScript, "-0", "+60000", 60000, user, "{}", "n1", 1)
	twice(touchScript, 30000)
	version := twice(saveScript, 1, "n2", `{"a":1}`)
	twice(retireScript, version, 10000, next.String())
	twice(revokeScript, 0)
	// What comes later than the revocation does nothing.
	for name, late := range map[string]*redis.Cmd{
		"create": createScript.Run(ctx, c, []string{id.key()}, "-0", "+60000", 60000, user, "{}", "n1", 1),
		"save":   saveScript.Run(ctx, c, []string{id.key()}, version, "n3", "{}"),
		"retire": retireScript.Run(ctx, c, []string{id.key()}, "*", 1000, next.String()),
	} {
		if got := fmt.Sprint(late.Val()); late.Err() != nil || got != "0" && got != "[0]" {
			t.Errorf("a late %s: got %v, %v; want 0", name, got, late.Err())
		}
	}
	if _, err := m.load(ctx, id, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v; want ErrNotFound", err)
	}
	// A revocation that comes before a creation wins too.
	_, id = newToken(m.opt.Name)
	twice(revokeScript, 60000)
	twice(createScript, "-0", "+60000", 60000, user, "{}", "n1", 1)
	if _, err := m.load(ctx, id, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("created after its revocation: got %v; want ErrNotFound", err)
	}
}
