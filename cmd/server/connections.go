package main

import (
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// connections is a listener with a limit. A server that is out of file descriptors can
// neither answer nor reach its database, so the limit is below that. At the limit, a new
// connection replaces the one that has been open longest without a request with a valid
// token. So a flood without tokens only closes its own connections, and those with a
// request under way stay. Methods are safe for use by many goroutines.
type connections struct {
	net.Listener
	most       int // in all
	perAddress int // 0: any number
	log        *slog.Logger

	mu      sync.Mutex
	open    map[net.Conn]*client
	waiting list.List // of *client that have sent no valid token, the oldest first
	idle    list.List // of *client that have; closed when there is none in waiting
	from    map[netip.Prefix]int
	refused int       // since the last line in the log
	logged  time.Time // when refused was logged last
}

// client is one connection.
type client struct {
	conn  *clientConn
	from  netip.Prefix
	known bool          // it has sent a valid token
	in    *list.List    // waiting or idle; nil: it has a request under way, and is not closed
	place *list.Element // in that list
}

// clientConn is the net.Conn of a client; closing it calls closed.
type clientConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *clientConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// CloseWrite lets net/http close in two steps, so that a client reads its answer.
func (c *clientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func limitConnections(l net.Listener, most, perAddress int, log *slog.Logger) *connections {
	if most == 0 {
		most = connectionsFor(descriptors())
	}
	return &connections{
		Listener: l, most: most, perAddress: perAddress, log: log,
		open: map[net.Conn]*client{}, from: map[netip.Prefix]int{},
	}
}

// Accept gives the next connection within the limit.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g := c.admit(conn); g != nil {
			return g.conn, nil
		}
		_ = conn.Close() // the client sees that it is closed
	}
}

// admit adds a connection, and closes another one for it if it must; nil if it cannot.
func (c *connections) admit(conn net.Conn) *client {
	g := &client{from: prefixOf(conn.RemoteAddr())}
	g.conn = &clientConn{Conn: conn, closed: sync.OnceFunc(func() { c.gone(g) })}
	victim, ok := c.enter(g)
	if victim != nil {
		_ = victim.conn.Close() // its reader ends with an error, and net/http with it
	}
	if !ok {
		return nil
	}
	return g
}

// enter adds a connection and gives the one that has to be closed for it, if any.
func (c *connections) enter(g *client) (victim *client, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := len(c.open) >= c.most
	crowded := c.perAddress > 0 && c.from[g.from] >= c.perAddress
	if full || crowded {
		if victim = c.victim(g.from, crowded); victim == nil {
			c.refuse()
			return nil, false
		}
		c.forget(victim)
		c.refuse()
	}
	c.open[g.conn] = g
	c.from[g.from]++
	c.put(g, &c.waiting)
	return victim, true
}

// victim gives the connection to close; nil if all have requests under way. The caller
// holds the mutex.
func (c *connections) victim(from netip.Prefix, sameAddress bool) *client {
	for _, l := range []*list.List{&c.waiting, &c.idle} {
		for e := l.Front(); e != nil; e = e.Next() {
			if g, _ := e.Value.(*client); !sameAddress || g.from == from {
				return g
			}
		}
	}
	return nil
}

// refuse counts, and logs at most every ten seconds. The caller holds the mutex.
func (c *connections) refuse() {
	c.refused++
	if now := time.Now(); now.Sub(c.logged) > 10*time.Second {
		c.log.Warn("out of connections: closed some that had sent no token, or refused new ones; see --max-connections",
			"closed", c.refused, "open", len(c.open))
		c.refused, c.logged = 0, now
	}
}

// put adds a connection to a list of those that may be closed. The caller holds the mutex.
func (c *connections) put(g *client, in *list.List) {
	c.take(g)
	g.in, g.place = in, in.PushBack(g)
}

// take removes a connection from its list, so that it is not closed. The caller holds the
// mutex.
func (c *connections) take(g *client) {
	if g.in != nil {
		g.in.Remove(g.place)
		g.in, g.place = nil, nil
	}
}

// forget removes a connection that is closed. The caller holds the mutex.
func (c *connections) forget(g *client) {
	if _, there := c.open[g.conn]; !there {
		return
	}
	delete(c.open, g.conn)
	c.take(g)
	if c.from[g.from]--; c.from[g.from] == 0 {
		delete(c.from, g.from)
	}
}

func (c *connections) gone(g *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(g)
}

// changed is the server's ConnState: a connection that becomes idle may be closed again,
// until the next request on it with a valid token.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g, there := c.open[conn]
	switch {
	case !there:
	case g.known:
		c.put(g, &c.idle)
	default:
		c.put(g, &c.waiting)
	}
}

type clientKey struct{}

// contextOf is the server's ConnContext.
func (c *connections) contextOf(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, clientKey{}, conn)
}

// atWork keeps the connection of a request with a valid token until it is answered.
func (c *connections) atWork(ctx context.Context) {
	conn, _ := ctx.Value(clientKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if g, there := c.open[conn]; there {
		g.known = true
		c.take(g)
	}
}

// prefixOf gives the prefix that counts as one address: for IPv6 the /64 network.
func prefixOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil { // not reached: the number of bits fits the address
		return netip.Prefix{}
	}
	return prefix
}
