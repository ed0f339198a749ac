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

// connections is a listener with a bound. A server that is out of descriptors can
// neither answer nor reach its database, so connections end before that. When there
// is no room, the one that has waited longest for a request with a valid token is
// closed for the new one: a flood without a token closes connections
// of its own, and those that are at work stay. Methods are safe for use by many
// goroutines.
type connections struct {
	net.Listener
	most       int // in all
	perAddress int // 0: any number
	log        *slog.Logger

	mu      sync.Mutex
	open    map[net.Conn]*guest
	waiting list.List // of *guest that may be closed, longest first
	idle    list.List // of *guest that were at work before; closed when no one else waits
	from    map[netip.Prefix]int
	refused int // since the last line in the log
	told    time.Time
}

// guest is one connection.
type guest struct {
	conn  *guestConn
	from  netip.Prefix
	known bool          // it has sent a valid token
	in    *list.List    // nil: at work
	place *list.Element // in it
}

// guestConn tells connections when it is closed.
type guestConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *guestConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// CloseWrite lets net/http close in two steps, so that a client reads its answer.
func (c *guestConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func limitConnections(l net.Listener, most, perAddress int, log *slog.Logger) *connections {
	if most == 0 {
		most = roomFor(descriptors())
	}
	return &connections{
		Listener: l, most: most, perAddress: perAddress, log: log,
		open: map[net.Conn]*guest{}, from: map[netip.Prefix]int{},
	}
}

// Accept gives the next connection that there is room for.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g := c.admit(conn); g != nil {
			return g.conn, nil
		}
		_ = conn.Close() // no one is told: it is the client's to see
	}
}

// admit makes room for a connection; nil if there is none.
func (c *connections) admit(conn net.Conn) *guest {
	g := &guest{from: prefixOf(conn.RemoteAddr())}
	g.conn = &guestConn{Conn: conn, closed: sync.OnceFunc(func() { c.gone(g) })}
	victim, ok := c.enter(g)
	if victim != nil {
		_ = victim.conn.Close() // its reader ends with an error, and net/http with it
	}
	if !ok {
		return nil
	}
	return g
}

// enter notes a connection and says which other has to end for it.
func (c *connections) enter(g *guest) (victim *guest, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := len(c.open) >= c.most
	crowded := c.perAddress > 0 && c.from[g.from] >= c.perAddress
	if full || crowded {
		if victim = c.longest(g.from, crowded); victim == nil {
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

// longest gives who may be closed. The caller holds the mutex.
func (c *connections) longest(from netip.Prefix, sameAddress bool) *guest {
	for _, l := range []*list.List{&c.waiting, &c.idle} {
		for e := l.Front(); e != nil; e = e.Next() {
			if g, _ := e.Value.(*guest); !sameAddress || g.from == from {
				return g
			}
		}
	}
	return nil
}

// refuse counts, and tells the log now and then. The caller holds the mutex.
func (c *connections) refuse() {
	c.refused++
	if now := time.Now(); now.Sub(c.told) > 10*time.Second {
		c.log.Warn("out of connections: closed some that had sent no token, or refused new ones; see --max-connections",
			"closed", c.refused, "open", len(c.open))
		c.refused, c.told = 0, now
	}
}

// put makes a connection one of those that may be closed. The caller holds the mutex.
func (c *connections) put(g *guest, in *list.List) {
	c.take(g)
	g.in, g.place = in, in.PushBack(g)
}

// take makes it one of those that may not. The caller holds the mutex.
func (c *connections) take(g *guest) {
	if g.in != nil {
		g.in.Remove(g.place)
		g.in, g.place = nil, nil
	}
}

// forget takes a connection off the books. The caller holds the mutex.
func (c *connections) forget(g *guest) {
	if _, there := c.open[g.conn]; !there {
		return
	}
	delete(c.open, g.conn)
	c.take(g)
	if c.from[g.from]--; c.from[g.from] == 0 {
		delete(c.from, g.from)
	}
}

func (c *connections) gone(g *guest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(g)
}

// changed is the server's ConnState: a connection that goes idle may be closed, if it
// must be, and the next request on it has to show a token again.
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

type guestKey struct{}

// contextOf is the server's ConnContext.
func (c *connections) contextOf(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, conn)
}

// atWork keeps the connection of a request with a valid token until it is answered.
func (c *connections) atWork(ctx context.Context) {
	conn, _ := ctx.Value(guestKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if g, there := c.open[conn]; there {
		g.known = true
		c.take(g)
	}
}

// prefixOf gives what counts as one address: for IPv6 the network of one customer.
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
	if err != nil { // the bits are the address's own
		return netip.Prefix{}
	}
	return prefix
}
