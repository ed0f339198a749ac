package client

import (
	"context"
	"net/http"
)

// WithToken sends a credential as bearer token with every request.
func WithToken(token string) ClientOption {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource asks for the credential before every request, for those that expire. An
// error of source is that of the request.
func WithTokenSource(source func(context.Context) (string, error)) ClientOption {
	return WithRequestEditorFn(func(ctx context.Context, req *http.Request) error {
		token, err := source(ctx)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	})
}
