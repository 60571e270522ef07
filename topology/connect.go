package topology

import (
	"context"
	"fmt"
	"net"
)

// Dial opens a bare connection to one node, as commands do: through AddrMap, with
// TLS, and within the dial time-out. It is not logged in. For what go-redis has
// no client for, such as a subscription that changes its server.
func (c *Client) Dial(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if isSocket(addr) {
		network = "unix"
	} else if err := checkAddr(addr); err != nil {
		return nil, fmt.Errorf("topology: dial: address %w", err)
	}
	return c.dialler.dial(ctx, network, addr)
}
