package faultproxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Proxy forwards connections to one server. It is safe for concurrent use.
type Proxy struct {
	network, target string
	listener        net.Listener
	wg              sync.WaitGroup

	// A pipe reads these with its own lock held, and must not ask for ours: Stall
	// and Heal take a pipe's lock under it.
	delay, rate atomic.Int64

	mu      sync.Mutex
	links   map[*Link]bool
	watch   func(*Link, []byte) bool
	refuse  bool
	stalled bool
	keep    bool
	closed  bool
}

// Start listens on a free port of 127.0.0.1 and forwards to the server at addr;
// network is "tcp" or "unix".
func Start(network, addr string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultproxy: %w", err)
	}
	p := &Proxy{network: network, target: addr, listener: l, links: map[*Link]bool{}}
	p.wg.Go(p.accept) // ends with the listener, which Close closes
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.wg.Go(func() { p.serve(c) })
		}
	}
}

func (p *Proxy) serve(client net.Conn) {
	if p.refuses() {
		_ = client.Close()
		return
	}
	server, err := net.DialTimeout(p.network, p.target, 10*time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &Link{client: client, server: server, clientGone: make(chan struct{}), done: make(chan struct{})}
	l.up, l.down = newPipe(p, client, server), newPipe(p, server, client)
	l.up.see = func(chunk []byte) bool { return p.sees(l, chunk) }
	if !p.add(l) {
		l.Cut()
		return
	}
	l.run(p.keeps)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) add(l *Link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refuse {
		return false
	}
	if p.stalled {
		l.Hold()
		l.HoldReplies()
	}
	p.links[l] = true
	return true
}

// SetDelay makes every byte take d longer, each way; d may change at any time.
func (p *Proxy) SetDelay(d time.Duration) { p.delay.Store(int64(d)) }

// Delay returns what SetDelay set.
func (p *Proxy) Delay() time.Duration { return time.Duration(p.delay.Load()) }

// SetRate lets no more than that many bytes a second pass, each way of each link;
// 0 is no limit.
func (p *Proxy) SetRate(bytes int) { p.rate.Store(int64(bytes)) }

// Rate returns what SetRate set.
func (p *Proxy) Rate() int { return int(p.rate.Load()) }

// KeepServer makes links half-open: the client may close, the server's side stays
// open, and what the client had sent is still delivered, or held if Hold says so.
// Such a link ends by Cut, or when the server closes it.
func (p *Proxy) KeepServer(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep = on
}

func (p *Proxy) keeps() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keep && !p.closed
}

func (p *Proxy) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuse
}

// Watch has f see what clients send, as it comes in and before the server has it.
// The link stands still meanwhile. What f returns false for is lost; the link
// stays. f is called for several links at a time; nil ends it.
func (p *Proxy) Watch(f func(l *Link, chunk []byte) (deliver bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = f
}

func (p *Proxy) sees(l *Link, chunk []byte) bool {
	p.mu.Lock()
	f := p.watch
	p.mu.Unlock()
	return f == nil || f(l, chunk)
}

// Cut resets every link and closes new connections at once, until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	p.refuse = true
	p.mu.Unlock()
	for _, l := range p.Links() {
		l.Cut()
	}
}

// Stall holds everything both ways, in new links too, until Heal: nothing is
// refused and nothing is answered.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
	for l := range p.links {
		l.Hold()
		l.HoldReplies()
	}
}

// Heal ends Cut and Stall; what a stall held is delivered. Delay and rate stay.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse, p.stalled = false, false
	for l := range p.links {
		l.Release()
	}
}

// Links returns the links that are open now.
func (p *Proxy) Links() []*Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*Link, 0, len(p.links))
	for l := range p.links {
		list = append(list, l)
	}
	return list
}

// Link returns the link of the client with that local address, or nil.
func (p *Proxy) Link(client net.Addr) *Link {
	for _, l := range p.Links() {
		if l.ClientAddr() == client.String() {
			return l
		}
	}
	return nil
}

// Close cuts every link and returns when nothing of the proxy is left.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	for _, l := range p.Links() {
		l.Cut()
	}
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
