package redisproc

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports come from below 32768, where Linux begins to pick ports for outgoing
// connections, and leave room for a Cluster node's second port, which lies
// busOffset above its first.
const (
	firstPort = 11000
	lastPort  = 22000
	busOffset = 10000
)

// errPortTaken means that a server could not bind a port that was free a moment
// before: whoever asked begins again with others.
var errPortTaken = errors.New("redisproc: port taken")

var handedOut struct {
	sync.Mutex
	ports map[int]bool
}

// Ports returns n free ports, for processes that are not this package's own, and a
// function that gives them back.
func Ports(n int) (ports []int, giveBack func(), err error) {
	ports, err = takePorts(n)
	return ports, func() { releasePorts(ports) }, err
}

// takePorts returns n ports that are free now, with their bus ports, and that
// nobody else in this process has been given.
func takePorts(n int) ([]int, error) {
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.ports == nil {
		handedOut.ports = map[int]bool{}
	}
	var got []int
	for range 100 * n {
		if len(got) == n {
			break
		}
		p := firstPort + rand.IntN(lastPort-firstPort)
		if !handedOut.ports[p] && isFree(p) && isFree(p+busOffset) {
			handedOut.ports[p] = true
			got = append(got, p)
		}
	}
	if len(got) < n {
		releaseLocked(got)
		return nil, errors.New("redisproc: no free ports")
	}
	return got, nil
}

func releasePorts(ports []int) {
	handedOut.Lock()
	defer handedOut.Unlock()
	releaseLocked(ports)
}

func releaseLocked(ports []int) {
	for _, p := range ports {
		delete(handedOut.ports, p)
	}
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", hostPort(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
