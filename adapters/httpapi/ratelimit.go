package httpapi

import (
	"container/list"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/redrive/redrive/core"
)

// codeRateLimited: the caller, its tenant or its address has sent as many requests as it
// may for now.
const codeRateLimited core.Code = "rate_limited"

// Rate is how many requests there may be in a window. They may all come at once; then they
// come back evenly. Zero: any number.
type Rate struct {
	Requests int
	Window   time.Duration
}

// RateLimits bounds how often requests may come. They are counted in this process: with
// several servers, each has its own count.
type RateLimits struct {
	Credential Rate // of one caller: subject, role and tenant
	Tenant     Rate // of all callers of one tenant; platform admins are of none
	// Failed is how many credentials that are not valid may come from one address (a /64
	// network for IPv6).
	Failed Rate

	// Address is where a request comes from; nil: the peer of its connection. Behind a proxy
	// it has to be the address that the proxy tells: see ClientAddress.
	Address func(*http.Request) netip.Addr
	// MaxTracked is of how many callers, of how many tenants and of how many addresses the
	// requests are counted at once; default 10,000 each. Those that sent nothing for
	// longest are forgotten first, and begin anew.
	MaxTracked int

	now  func() time.Time // for tests; nil: time.Now
	wait time.Duration    // for tests; 0: turnWait
}

// Limiter enforces RateLimits, for the API and for other handlers of the same server. A nil
// Limiter lets everything through. Its methods may be called by many goroutines.
type Limiter struct {
	limits RateLimits
	policy string // the RateLimit-Policy header

	mu          sync.Mutex
	credentials buckets[core.Actor]
	tenants     buckets[core.TenantID]
	addresses   buckets[netip.Prefix]

	lookUps, exchanges chan struct{} // one for each that has its turn
}

// NewLimiter makes a Limiter.
func NewLimiter(limits RateLimits) *Limiter {
	if limits.MaxTracked <= 0 {
		limits.MaxTracked = 10_000
	}
	if limits.Address == nil {
		limits.Address = peer
	}
	if limits.now == nil {
		limits.now = time.Now
	}
	if limits.wait == 0 {
		limits.wait = turnWait
	}
	l := &Limiter{
		limits:      limits,
		credentials: newBuckets[core.Actor](limits.Credential, limits.MaxTracked),
		tenants:     newBuckets[core.TenantID](limits.Tenant, limits.MaxTracked),
		addresses:   newBuckets[netip.Prefix](limits.Failed, limits.MaxTracked),
		lookUps:     make(chan struct{}, turnsAtOnce), exchanges: make(chan struct{}, turnsAtOnce),
	}
	var policy []string
	for _, p := range []struct {
		name string
		rate Rate
	}{{"credential", limits.Credential}, {"tenant", limits.Tenant}} {
		if p.rate.limited() {
			policy = append(policy, fmt.Sprintf("%q;q=%d;w=%d", p.name, p.rate.Requests, int(math.Ceil(p.rate.Window.Seconds()))))
		}
	}
	l.policy = strings.Join(policy, ", ")
	return l
}

// Admit takes a request of a caller into account, or refuses it with rate_limited, which
// takes nothing. It sets the headers RateLimit-Policy and RateLimit, and Retry-After with a
// refusal.
func (l *Limiter) Admit(h http.Header, actor core.Actor) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.limits.now()
	// The caller's limit comes first: a single caller at its limit learns that it is its own.
	own := l.credentials.of(actor, now)
	var shared *rate.Limiter
	if actor.Role != core.RolePlatformAdmin {
		shared = l.tenants.of(actor.Tenant, now)
	}
	var refusal *core.Error
	switch {
	case own != nil && own.TokensAt(now) < 1:
		refusal = rateLimited(h, own, now, "you have sent %s, as many as you may; wait for %s", l.limits.Credential)
	case shared != nil && shared.TokensAt(now) < 1:
		refusal = rateLimited(h, shared, now, "the callers of this tenant have sent %s, as many as they may; wait for %s", l.limits.Tenant)
	default:
		for _, b := range []*rate.Limiter{own, shared} {
			if b != nil {
				b.AllowN(now, 1)
			}
		}
	}
	var left []string
	if own != nil {
		left = append(left, remaining("credential", own, now))
	}
	if shared != nil {
		left = append(left, remaining("tenant", shared, now))
	}
	if len(left) > 0 {
		h.Set("RateLimit-Policy", l.policy)
		h.Set("RateLimit", strings.Join(left, ", "))
	}
	if refusal != nil {
		return refusal
	}
	return nil
}

// Refused takes into account that a request's credential is not valid. If too many of them
// came from its address, it gives the refusal to answer instead of the usual one. A valid
// credential is let in whatever else came from its address: many people may be behind one
// proxy, and one of them must not lock out the others. Credentials are too long to be
// guessed; what is bounded here is the noise that guesses make, and the work that they
// make by LookUp and Exchange.
func (l *Limiter) Refused(h http.Header, req *http.Request) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.limits.now()
	b := l.addresses.of(networkOf(l.limits.Address(req)), now)
	if b == nil || b.AllowN(now, 1) {
		return nil
	}
	return l.tooManyFailed(h, b, now)
}

// rateLimited is the refusal for a bucket that is empty.
func rateLimited(h http.Header, b *rate.Limiter, now time.Time, format string, of Rate) *core.Error {
	wait := max(1, seconds((1-b.TokensAt(now))/float64(b.Limit())))
	h.Set("Retry-After", strconv.Itoa(wait))
	return refused(codeRateLimited, format, fmt.Sprintf("%d requests in %s", of.Requests, of.Window), fmt.Sprintf("%d s", wait))
}

// remaining is the item of the RateLimit header: how many requests are left, and in how many
// seconds all of them are again.
func remaining(name string, b *rate.Limiter, now time.Time) string {
	tokens := max(0, b.TokensAt(now))
	return fmt.Sprintf("%q;r=%d;t=%d", name, int(tokens), seconds((float64(b.Burst())-tokens)/float64(b.Limit())))
}

func seconds(s float64) int { return int(math.Ceil(min(s, math.MaxInt32))) }

func (r Rate) limited() bool { return r.Requests > 0 && r.Window > 0 }

// buckets are the token buckets of those who sent something lately, at most a number of
// them. One that is forgotten was full, or its owner was the one that sent nothing for
// longest.
type buckets[K comparable] struct {
	rate  Rate
	most  int
	byKey map[K]*list.Element
	order *list.List // of *bucket[K]; the one that was used last is in front
}

type bucket[K comparable] struct {
	key      K
	tokens   *rate.Limiter
	underWay int // look-ups, see LookUp
}

func newBuckets[K comparable](r Rate, most int) buckets[K] {
	return buckets[K]{rate: r, most: most, byKey: map[K]*list.Element{}, order: list.New()}
}

// of gives the tokens of a key; nil without a limit.
func (b *buckets[K]) of(key K, now time.Time) *rate.Limiter {
	if one := b.bucket(key, now); one != nil {
		return one.tokens
	}
	return nil
}

// bucket gives the bucket of a key; nil without a limit.
func (b *buckets[K]) bucket(key K, now time.Time) *bucket[K] {
	if !b.rate.limited() {
		return nil
	}
	// Full buckets say nothing: those at the end are dropped, so that nothing is kept of
	// callers that are long gone.
	for e := b.order.Back(); e != nil && (b.full(e, now) || b.order.Len() > b.most); e = b.order.Back() {
		b.drop(e)
	}
	if e, there := b.byKey[key]; there {
		b.order.MoveToFront(e)
		return b.at(e)
	}
	if b.order.Len() >= b.most {
		b.drop(b.order.Back())
	}
	one := &bucket[K]{key: key, tokens: rate.NewLimiter(rate.Limit(float64(b.rate.Requests)/b.rate.Window.Seconds()), b.rate.Requests)}
	b.byKey[key] = b.order.PushFront(one)
	return one
}

func (b *buckets[K]) at(e *list.Element) *bucket[K] {
	one, _ := e.Value.(*bucket[K])
	return one
}

func (b *buckets[K]) full(e *list.Element, now time.Time) bool {
	one := b.at(e)
	return one.underWay == 0 && one.tokens.TokensAt(now) >= float64(b.rate.Requests)
}

func (b *buckets[K]) drop(e *list.Element) {
	b.order.Remove(e)
	delete(b.byKey, b.at(e).key)
}

// peer is the address of the other end of the connection.
func peer(req *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		host = req.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap().WithZone("")
}

// maxHops is how many addresses of X-Forwarded-For are looked at.
const maxHops = 20

// ClientAddress makes the RateLimits.Address of a server behind proxies: the address that
// the last proxy in trusted saw, by X-Forwarded-For. What others say there is not believed.
func ClientAddress(trusted []netip.Prefix) func(*http.Request) netip.Addr {
	isProxy := func(a netip.Addr) bool {
		for _, p := range trusted {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	return func(req *http.Request) netip.Addr {
		address := peer(req)
		hops := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= max(0, len(hops)-maxHops) && isProxy(address); i-- {
			next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break // the proxy says nothing that can be read
			}
			address = next.Unmap().WithZone("")
		}
		return address
	}
}

// networkOf is what counts as one address: for IPv6 the /64 network.
func networkOf(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	prefix, err := a.Prefix(bits)
	if err != nil { // of an address that is not known
		return netip.Prefix{}
	}
	return prefix
}

// limited bounds how often a caller, or somebody without a valid credential, may come. err
// is that of the authentication.
func (a *api) limited(h http.Header, req *http.Request, actor core.Actor, challenge string, err error) error {
	if err == nil {
		err := a.cfg.Limiter.Admit(h, actor)
		if err != nil {
			exchangeOf(req.Context()).body.senderKnown(req) // it may finish sending, and then read why
		}
		return err
	}
	// Without a credential nothing is guessed, and one that expired or was revoked was valid:
	// its owner has to learn that it needs another, whatever others do from the same address.
	guessed := req.Header.Get("Authorization") != "" || req.Header.Get("Cookie") != "" || req.URL.Query().Has("ticket")
	if refusal, _ := refusalOf(err); refusal.Code != codeUnauthenticated || !guessed ||
		strings.Contains(challenge, `"expired"`) || strings.Contains(challenge, `"revoked"`) {
		return err
	}
	if limit := a.cfg.Limiter.Refused(h, req); limit != nil {
		return limit
	}
	return err
}
