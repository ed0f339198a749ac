package webui_test

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/oidc"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// answeringProvider lets ann in with the code "good", cannot be reached for "down", and
// knows nobody else.
type answeringProvider struct {
	mu               sync.Mutex
	asked, now, most int
	hold             chan struct{} // nil: nobody is held
}

// seen is how often it was asked, and how often at once.
func (p *answeringProvider) seen() (asked, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.most
}

// keep holds all who come from now on until it is closed.
func (p *answeringProvider) keep() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold, p.asked, p.most = make(chan struct{}), 0, 0
	return p.hold
}

// enter counts who comes, and gives what holds it.
func (p *answeringProvider) enter() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.now = p.asked+1, p.now+1
	p.most = max(p.most, p.now)
	return p.hold
}

func (*answeringProvider) Begin(context.Context) (address, secret string, err error) {
	return "https://provider.example/", "secret", nil
}

func (*answeringProvider) SignOut(string) string { return "" }

func (p *answeringProvider) Finish(_ context.Context, _ string, answer url.Values) (core.Actor, error) {
	if hold := p.enter(); hold != nil {
		<-hold
	}
	p.mu.Lock()
	p.now--
	p.mu.Unlock()
	switch answer.Get("code") {
	case "good":
		return ann, nil
	case "down":
		return core.Actor{}, ports.ErrUnavailable
	default:
		return core.Actor{}, &core.Error{Code: oidc.CodeFailed, Message: "no"}
	}
}

// What comes back from the provider in vain counts, as other sign-ins do, and what an address
// that has sent too much of it has the provider asked at once is bounded. Who has really
// signed in is let in all the same.
func TestSignInsAtTheProviderAreLimited(t *testing.T) {
	t.Parallel()
	provider := &answeringProvider{}
	w := newWorld(t, func(o *options) {
		o.workers = -1
		o.page.Provider, o.page.ProviderName = provider, "provider"
		o.page.Limits = httpapi.NewLimiter(httpapi.RateLimits{Failed: httpapi.Rate{Requests: 2, Window: time.Hour}})
	})
	back := func(code string) int { return w.visitor().get("/ui/sign-in/oidc/callback?state=s&code=" + code).status }
	for range 3 {
		require.Equal(t, http.StatusServiceUnavailable, back("down"), "that says nothing of who asks")
	}
	for range 2 {
		require.Equal(t, http.StatusBadRequest, back("made-up"))
	}
	require.Equal(t, http.StatusTooManyRequests, back("made-up"))
	require.Equal(t, http.StatusOK, back("good"))

	release := provider.keep()
	const many = 12
	got := make(chan int, many)
	for range many {
		go func() {
			res, err := http.Get(w.server.URL + "/ui/sign-in/oidc/callback?state=s&code=made-up")
			if err != nil {
				t.Error(err)
				got <- 0
				return
			}
			_ = res.Body.Close() // the status is all that counts
			got <- res.StatusCode
		}()
	}
	require.Eventually(t, func() bool {
		asked, _ := provider.seen()
		return asked == 4
	}, 30*time.Second, time.Millisecond)
	close(release)
	for range many {
		require.Equal(t, http.StatusTooManyRequests, <-got)
	}
	_, most := provider.seen()
	require.Equal(t, 4, most)
}
