package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// account is whom a service of one's own has signed in, by whatever means.
type account struct {
	Name, Company string
	Admin         bool
}

type accountKey struct{}

// signIn stands for the service's own middleware: it leaves the account in the context.
func signIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") == "session=of-ada" {
			r = r.WithContext(context.WithValue(r.Context(), accountKey{}, account{Name: "ada", Company: "acme", Admin: true}))
		}
		next.ServeHTTP(w, r)
	})
}

// accounts is the service's own authentication, for the API: what an account is in Redrive.
type accounts struct{}

// Authenticate implements httpapi.Authenticator.
func (accounts) Authenticate(r *http.Request) (core.Actor, error) {
	a, ok := r.Context().Value(accountKey{}).(account)
	if !ok {
		return core.Actor{}, &httpapi.Unauthenticated{Message: "sign in at /login"}
	}
	role := core.RoleCustomerUser
	if a.Admin {
		role = core.RoleCustomerAdmin
	}
	return core.Actor{Subject: a.Name, Tenant: core.TenantID(a.Company), Role: role}, nil
}

// The API under a path of a mux of one's own, with one's own authentication. Cookies are
// sent by browsers to whoever makes them: put http.CrossOriginProtection in front.
func Example() {
	quiet := slog.New(slog.DiscardHandler)
	redrive, err := app.New(app.Deps{
		Store: memory.NewStore(), Queue: memory.NewQueue(), Files: memory.NewFiles(), Log: quiet,
		Executor: ports.ExecutorFunc(func(context.Context, ports.Task) ([]core.FileResult, error) { return nil, nil }),
	}, app.Options{})
	must(err)
	_, err = redrive.CreateTenant(context.Background(), core.Actor{Subject: "ops", Role: core.RolePlatformAdmin}, "acme", "Acme", 100)
	must(err)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.Handle("/redrive/", httpapi.New(redrive, httpapi.Config{Auth: accounts{}, Prefix: "/redrive", Log: quiet}))
	server := httptest.NewServer(http.NewCrossOriginProtection().Handler(signIn(mux)))
	defer server.Close()

	show(server, "/", "")
	show(server, "/redrive/balance", "")
	show(server, "/redrive/balance", "session=of-ada")
	// Output:
	// / 204
	// /redrive/balance 401
	// /redrive/balance 200
}

func show(server *httptest.Server, path, cookie string) {
	req, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
	must(err)
	req.Header.Set("Cookie", cookie)
	resp, err := server.Client().Do(req)
	must(err)
	_, err = io.Copy(io.Discard, resp.Body)
	must(err)
	must(resp.Body.Close())
	fmt.Println(path, resp.StatusCode)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
