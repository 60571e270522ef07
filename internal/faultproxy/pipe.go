package faultproxy

import (
	"net"
	"sync"
	"time"
)

// queueLimit is how many bytes one direction may keep before it stops reading,
// and the sender feels it. It is far above what tests let pile up in a stall.
const queueLimit = 64 << 20

type chunk struct {
	data []byte
	due  time.Time
}

// A pipe carries one direction of a link. Two goroutines run it: fill reads,
// drain writes when the bytes are due and not held.
type pipe struct {
	src, dst net.Conn
	p        *Proxy
	see      func([]byte) bool // whether a chunk is delivered; nil for all

	mu     sync.Mutex
	wake   *sync.Cond
	queue  []chunk
	size   int
	held   bool
	eof    bool // src is at its end
	closed bool // the link is over
}

func newPipe(p *Proxy, src, dst net.Conn) *pipe {
	d := &pipe{src: src, dst: dst, p: p}
	d.wake = sync.NewCond(&d.mu)
	return d
}

func (d *pipe) fill() {
	for {
		buf := make([]byte, 32<<10)
		n, err := d.src.Read(buf)
		if n > 0 && d.see != nil && !d.see(buf[:n]) {
			n = 0
		}
		d.mu.Lock()
		for d.size > queueLimit && !d.closed {
			d.wake.Wait()
		}
		if n > 0 {
			d.queue = append(d.queue, chunk{buf[:n], time.Now().Add(d.p.Delay())})
			d.size += n
		}
		d.eof = err != nil
		over := d.eof || d.closed
		d.wake.Broadcast()
		d.mu.Unlock()
		if over {
			return
		}
	}
}

// drain writes until src is at its end and all of it is written, or the link is
// over. Where dst takes no more, the rest is thrown away.
func (d *pipe) drain() {
	for {
		c, ok := d.next()
		if !ok {
			return
		}
		_, _ = d.dst.Write(c.data)
		if rate := d.p.Rate(); rate > 0 {
			d.pause(time.Duration(len(c.data)) * time.Second / time.Duration(rate))
		}
	}
}

// next takes the next chunk that is due and not held.
func (d *pipe) next() (chunk, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case d.closed:
			return chunk{}, false
		case d.held || len(d.queue) == 0 && !d.eof:
			d.wake.Wait()
		case len(d.queue) == 0:
			return chunk{}, false
		default:
			c := d.queue[0]
			if wait := time.Until(c.due); wait > 0 {
				d.pauseLocked(wait)
				continue // it may be held by now
			}
			if rate := d.p.Rate(); rate > 0 {
				if most := max(1, rate/100); len(c.data) > most { // ten milliseconds' worth
					d.queue[0].data = c.data[most:]
					c.data = c.data[:most]
					d.size -= most
					return c, true
				}
			}
			d.queue = d.queue[1:]
			d.size -= len(c.data)
			d.wake.Broadcast()
			return c, true
		}
	}
}

func (d *pipe) pause(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pauseLocked(t)
}

// pauseLocked waits for t, or until the link is over.
func (d *pipe) pauseLocked(t time.Duration) {
	end := time.Now().Add(t)
	timer := time.AfterFunc(t, func() {
		d.mu.Lock() // else it could fall between the look at the clock and the wait
		defer d.mu.Unlock()
		d.wake.Broadcast()
	})
	defer timer.Stop()
	for !d.closed && time.Now().Before(end) {
		d.wake.Wait()
	}
}

func (d *pipe) hold(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = on
	d.wake.Broadcast()
}

func (d *pipe) pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

func (d *pipe) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.wake.Broadcast()
}
