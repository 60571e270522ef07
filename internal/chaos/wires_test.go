package chaos

import (
	"strings"
	"time"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
)

// prefixes of the variables that lead to each side.
var prefixes = [3]string{protocol.Source: "REDIS", protocol.Target: "REDIS_TARGET"}

// Wires lead one process to every server, each through a proxy.
type wires struct {
	proxies [3][]*faultproxy.Proxy // by side
	env     map[string]string      // leads a process through them
}

func newWires(servers [3][]*redisproc.Server) (*wires, error) {
	w := &wires{env: map[string]string{}}
	for _, side := range protocol.Sides {
		var pairs []string
		for _, s := range servers[side] {
			p, err := faultproxy.Start(s.Network(), s.Addr())
			if err != nil {
				w.close()
				return nil, err
			}
			w.proxies[side] = append(w.proxies[side], p)
			pairs = append(pairs, s.Addr()+"="+p.Addr())
		}
		w.env[prefixes[side]+"_ADDR_MAP"] = strings.Join(pairs, ",")
	}
	return w, nil
}

func (w *wires) close() {
	for _, list := range w.proxies {
		for _, p := range list {
			_ = p.Close()
		}
	}
}

// halfOpen keeps back what was sent on each link to a side. Who sent it gives up
// and connects anew, which works. Later what was kept back arrives.
func (w *wires) halfOpen(s protocol.Side, lasts time.Duration) {
	var held []*faultproxy.Link
	for _, p := range w.proxies[s] {
		p.KeepServer(true)
		for _, l := range p.Links() {
			l.Hold()
			held = append(held, l)
		}
	}
	time.Sleep(lasts)
	for _, l := range held {
		l.Release()
	}
	time.Sleep(deliverWithin)
	for _, p := range w.proxies[s] {
		p.KeepServer(false)
		for _, l := range p.Links() {
			select {
			case <-l.ClientGone():
				l.Cut() // nobody else would
			default:
			}
		}
	}
}

// deliverWithin is how long what was kept back may take to a server's socket.
const deliverWithin = 200 * time.Millisecond

func (w *wires) cut(s protocol.Side, lasts time.Duration) {
	w.while(s, lasts, (*faultproxy.Proxy).Cut, (*faultproxy.Proxy).Heal)
}

func (w *wires) stall(s protocol.Side, lasts time.Duration) {
	w.while(s, lasts, (*faultproxy.Proxy).Stall, (*faultproxy.Proxy).Heal)
}

func (w *wires) slow(s protocol.Side, by, lasts time.Duration) {
	w.while(s, lasts, func(p *faultproxy.Proxy) { p.SetDelay(by) }, func(p *faultproxy.Proxy) { p.SetDelay(0) })
}

func (w *wires) while(s protocol.Side, lasts time.Duration, begin, end func(*faultproxy.Proxy)) {
	for _, p := range w.proxies[s] {
		begin(p)
	}
	time.Sleep(lasts)
	for _, p := range w.proxies[s] {
		end(p)
	}
}
