package app

import (
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	hereFor   = time.Minute // after the last request
	maxGuests = 1000
)

// A Guest is a user who was seen by this process in the last minute.
type Guest struct {
	User  string    `json:"user"`
	Name  string    `json:"name"`
	Role  string    `json:"role"`
	State string    `json:"state"` // of his session: live or degraded
	Seen  time.Time `json:"seen"`
}

// guests are who is connected. Beyond maxGuests further ones are not noted.
type guests struct {
	mu  sync.Mutex
	all map[string]Guest
}

// Seen notes that a user has just asked for something.
func (a *App) Seen(g Guest) {
	g.Seen = time.Now()
	a.guests.mu.Lock()
	defer a.guests.mu.Unlock()
	if _, ok := a.guests.all[g.User]; ok || len(a.guests.all) < maxGuests {
		a.guests.all[g.User] = g
	}
}

// Gone notes that a user has signed out.
func (a *App) Gone(user string) {
	a.guests.mu.Lock()
	defer a.guests.mu.Unlock()
	delete(a.guests.all, user)
}

// now returns them by name, and forgets who has gone.
func (g *guests) now() []Guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := []Guest{}
	for user, x := range g.all {
		if time.Since(x.Seen) > hereFor {
			delete(g.all, user)
			continue
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b Guest) int { return strings.Compare(a.Name+a.User, b.Name+b.User) })
	return list
}
